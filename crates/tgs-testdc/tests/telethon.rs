//! Telethon against the test DC, so that the DC is not merely the mirror of one client. The client
//! comes from PyPI into a virtual environment beside the build's other products, once.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use tgs_testdc::{CallKind, TestDc, World};

const VERSION: &str = "telethon==1.45.0";

/// Where the build puts its products: two above this test's own directory for temporary files.
fn target() -> &'static Path {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().expect("the target directory")
}

fn succeed(what: &str, output: &Output) {
    let text = [&output.stdout[..], &output.stderr].concat();
    assert!(output.status.success(), "{what}: {}\n{}", output.status, String::from_utf8_lossy(&text));
}

/// The environment's Python, with Telethon in it.
fn python() -> &'static Path {
    static PYTHON: OnceLock<PathBuf> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let tools = target().join("tools");
        let venv = tools.join("telethon");
        let python = venv.join("bin/python");
        let stamp = venv.join("installed");
        fs::create_dir_all(&tools).expect("the target directory can be written");
        // Tests may run in processes of their own: one makes the environment, the others wait.
        let lock =
            fs::File::create(tools.join("telethon.lock")).expect("the target directory can be written");
        lock.lock().expect("the file can be locked");
        if fs::read_to_string(&stamp).is_ok_and(|installed| installed == VERSION) {
            return python;
        }
        let made = Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv).output();
        succeed("python3 -m venv", &made.expect("python3 is installed"));
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", VERSION];
        succeed("pip install", &Command::new(&python).args(pip).output().expect("python runs"));
        fs::write(stamp, VERSION).expect("the target directory can be written");
        python
    })
}

/// Runs a script of tests/telethon with these arguments; what it prints.
fn run(script: &str, arguments: &[String]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/telethon").join(script);
    let output = Command::new(python()).arg(&script).args(arguments).output().expect("python runs");
    succeed(&script.display().to_string(), &output);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_given_session() {
    let dc = TestDc::start(World::example()).unwrap();
    let session = dc.new_session(World::ALICE, 2);
    let arguments = [session.telethon_string(), dc.api_id().to_string(), dc.api_hash()];
    let said = run("given_session.py", &arguments);
    let (url, key) = dc.stream(World::CHANNEL);
    assert_eq!(said.trim_end(), format!("{url}{key}"));
    let calls = dc.calls(World::CHANNEL);
    assert!(calls.len() == 1 && calls[0].live && calls[0].kind == CallKind::Rtmp, "{calls:?}");
    assert_eq!(calls[0].title.as_deref(), Some("by Telethon"));
    // Containers, acknowledgments and pings are Telethon's own.
    assert!(dc.requests().iter().all(|request| request.session == session.key_id));
}

#[test]
fn from_nothing_by_code_and_password() {
    let dc = TestDc::start(World::example()).unwrap();
    let (modulus, exponent, _) = dc.rsa_public();
    let first = dc.addr(1);
    let arguments = [
        first.port().to_string(),
        modulus.to_owned(),
        exponent.to_string(),
        dc.api_id().to_string(),
        dc.api_hash(),
        "+15550100001".to_owned(),
        "22222".to_owned(),
        "correct horse".to_owned(),
    ];
    let string = run("from_nothing.py", &arguments);
    // Begun on DC 1, migrated to DC 2, with a key exchange on each. Telethon drops the leading zero
    // byte that one of 256 keys has, does not recognise that key, and repeats the exchange.
    let requests = dc.requests();
    let exchanges = requests.iter().filter(|request| request.method == "set_client_DH_params");
    let mut on_dcs: Vec<_> = exchanges.map(|request| request.dc_id).collect();
    on_dcs.dedup();
    assert_eq!(on_dcs, [1, 2]);
    let sessions = dc.sessions(World::ALICE);
    assert_eq!((sessions.len(), sessions[0].dc_id), (1, 2));
    // The string that it saved works as any other.
    run("given_session.py", &[string.trim_end().to_owned(), dc.api_id().to_string(), dc.api_hash()]);
}

#[test]
fn a_bot_and_a_person() {
    let dc = TestDc::start(World::example().with_bot()).unwrap();
    let sessions = [dc.new_session(World::BOT, 1), dc.new_session(World::BOB, 1)];
    let mut arguments: Vec<_> = sessions.iter().map(tgs_testdc::SessionInfo::telethon_string).collect();
    let world = dc.world();
    let token = world.accounts.iter().find_map(|account| account.bot_token.clone()).unwrap();
    arguments.extend([dc.api_id().to_string(), dc.api_hash(), token]);
    let said = run("bot_and_person.py", &arguments);
    let bob = World::BOB;
    let expected = [
        format!("{bob} en hello"),
        format!("True pressed by {bob}"),
        "edited data".to_owned(),
        "[(False, 'edited data'), (True, 'hello')]".to_owned(),
        // Sent, received, edited; 1 before the first.
        "4".to_owned(),
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    assert_eq!(dc.last_message(World::BOT, bob).as_deref(), Some("edited data"));
}

#[test]
fn files_in_both_directions() {
    let dc = TestDc::start(World::example().with_bot()).unwrap();
    let sessions = [dc.new_session(World::BOT, 1), dc.new_session(World::ALICE, 2)];
    let mut arguments: Vec<_> = sessions.iter().map(tgs_testdc::SessionInfo::telethon_string).collect();
    let (modulus, exponent, _) = dc.rsa_public();
    arguments.extend([dc.api_id().to_string(), dc.api_hash(), modulus.to_owned(), exponent.to_string()]);
    let pictures = tempfile::tempdir().unwrap();
    for (name, width) in [("one.jpg", 160), ("two.jpg", 170)] {
        // A header is enough: nobody decodes them here.
        let size = [0xff, 0xc0, 0, 11, 8, 0, 90, 0, width, 1, 1, 0x11, 0, 0xff, 0xd9];
        let path = pictures.path().join(name);
        fs::write(&path, [&[0xff, 0xd8][..], &size].concat()).unwrap();
        arguments.push(path.to_str().unwrap().to_owned());
    }
    let said = run("files.py", &arguments);
    let expected = [
        "film 300000.mp4 video/mp4 300000 True a film",
        "film 11000000.mp4 video/mp4 11000000 True a film",
        "True",
        "at DC 2",
        "limit invalid",
        "Alice film 11000000.mp4 11000000",
        "True a picture True",
        "another True",
        "another True",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    assert!(dc.count("upload.saveBigFilePart") > 0 && dc.count("upload.saveFilePart") > 0);
}
