//! Controls a running test DC over a loopback socket: one line in, several lines out, then an empty
//! line. No authentication: it is a test server.

use std::{
    fmt::Write as _,
    io::{self, BufRead, BufReader, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
    time::Duration,
};

use crate::{
    fault::{Fault, When},
    server::TestDc,
    world::Chat,
};

/// The commands, for `--help` and the error of an unknown command.
pub const COMMANDS: &str = "\
fault FAULT [--method NAME] [--times N] [--session KEY] [--at accept|init|later|call]
        FAULT is an error's name (FLOOD_WAIT_31, AUTH_KEY_UNREGISTERED), 401:NAME, transport:-404, transport:-429,
        silence, drop, garbage, bad-salt, wrong-session, endless, short-page, odd-dialogs, or delay:MS
clear [N]            takes fault N away, or all
status               sessions, calls and faults
session PHONE [DC]   makes a session that is signed in, and prints its string
revoke KEY|PHONE     ends a session, or all of an account
hang-up              closes all connections
code                 the login codes that were sent
end-call CHAT        ends the live call; CHAT is an id (-100…) or @name
start-webrtc CHAT    starts a video chat of people
ingest URL           where streams are to be published from now on";

/// Time limit and length limit of a line.
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_LINE: u64 = 4096;

/// Serves a DC's control socket on this loopback port (0 for a free one) until the process ends.
/// Returns the address.
pub fn serve(dc: Arc<TestDc>, port: u16) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    let addr = listener.local_addr()?;
    thread::Builder::new().name("control".to_owned()).spawn(move || {
        for stream in listener.incoming() {
            if let Err(error) = stream.and_then(|stream| answer(&dc, &stream)) {
                log::warn!("control socket: {error}");
            }
        }
    })?;
    Ok(addr)
}

fn answer(dc: &TestDc, mut stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(io::Read::take(stream, MAX_LINE)).read_line(&mut line)?;
    let words: Vec<_> = line.split_whitespace().collect();
    let text = match run(dc, &words) {
        Ok(text) => format!("ok\n{text}"),
        Err(text) => format!("error\n{text}\n"),
    };
    stream.write_all(text.as_bytes())
}

/// Sends a line to a control socket. Returns its answer or its refusal.
pub fn say(control: SocketAddr, words: &[String]) -> io::Result<Result<String, String>> {
    let mut stream = TcpStream::connect_timeout(&control, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(format!("{}\n", words.join(" ")).as_bytes())?;
    let answer = io::read_to_string(stream)?;
    Ok(match answer.split_once('\n') {
        Some(("ok", text)) => Ok(text.to_owned()),
        Some((_, text)) => Err(text.trim_end().to_owned()),
        None => Err("the control socket said nothing".to_owned()),
    })
}

/// Executes a command.
pub fn run(dc: &TestDc, words: &[&str]) -> Result<String, String> {
    match words {
        ["fault", fault, options @ ..] => {
            let id = dc.fault(fault.parse::<Fault>()?, when(options)?);
            Ok(format!("fault {id}\n"))
        }
        ["clear"] => {
            dc.clear_faults();
            Ok(String::new())
        }
        ["clear", id] => {
            let id = id.parse().map_err(|_| format!("{id:?} is not the number of a fault"))?;
            if dc.clear_fault(id) { Ok(String::new()) } else { Err(format!("there is no fault {id}")) }
        }
        ["status"] => Ok(status(dc)),
        ["session", phone, rest @ ..] => session(dc, phone, rest),
        ["revoke", who] => revoke(dc, who),
        ["hang-up"] => {
            dc.hang_up(None);
            Ok(String::new())
        }
        ["code"] => Ok(dc.codes().iter().fold(String::new(), |mut text, code| {
            let _ = writeln!(text, "{} {} by {:?}", code.phone, code.code, code.by);
            text
        })),
        ["end-call", name] => {
            let chat = chat(dc, name)?;
            if dc.end_call(chat.id) { Ok(String::new()) } else { Err(format!("no call is live in {name}")) }
        }
        ["start-webrtc", name] => {
            dc.start_webrtc(chat(dc, name)?.id);
            Ok(String::new())
        }
        ["ingest", url] => {
            dc.set_ingest(url);
            Ok(String::new())
        }
        _ => Err(format!("there is no such command; there are\n{COMMANDS}")),
    }
}

fn when(options: &[&str]) -> Result<When, String> {
    let mut when = When::always();
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let value = options.next().ok_or_else(|| format!("{option} needs a value"))?;
        match *option {
            "--method" => when.method = Some((*value).to_owned()),
            "--times" => {
                when.times = Some(value.parse().map_err(|_| format!("{value:?} is not a number of times"))?);
            }
            "--session" => when.session = Some(key_id(value)?),
            "--at" => when.at = value.parse()?,
            _ => return Err(format!("a fault has no option {option}")),
        }
    }
    Ok(when)
}

/// Parses a key id, which is shown in hexadecimal.
fn key_id(text: &str) -> Result<i64, String> {
    let id =
        u64::from_str_radix(text, 16).map_err(|_| format!("{text:?} is not a key, which `status` lists"))?;
    Ok(id.cast_signed())
}

/// User id and home DC of the account of a phone number.
fn account(dc: &TestDc, phone: &str) -> Result<(i64, i32), String> {
    let digits = phone.trim_start_matches('+');
    let accounts = dc.world().accounts;
    let found = accounts.iter().find(|account| account.phone.trim_start_matches('+') == digits);
    found.map(|account| (account.user_id, account.dc_id)).ok_or_else(|| format!("{phone} is nobody's number"))
}

fn chat(dc: &TestDc, name: &str) -> Result<Chat, String> {
    let chats = dc.world().chats;
    let found = chats.into_iter().find(|chat| {
        chat.marked_id().to_string() == name
            || chat.username.as_deref().is_some_and(|username| username == name.trim_start_matches('@'))
    });
    found.ok_or_else(|| format!("no chat is called {name}"))
}

fn session(dc: &TestDc, phone: &str, rest: &[&str]) -> Result<String, String> {
    let (user_id, home) = account(dc, phone)?;
    let dc_id = match rest {
        [] => home,
        ["1"] => 1,
        ["2"] => 2,
        _ => return Err("there are DC 1 and DC 2".to_owned()),
    };
    Ok(format!("{}\n", dc.new_session(user_id, dc_id).telethon_string()))
}

fn revoke(dc: &TestDc, who: &str) -> Result<String, String> {
    let keys = match account(dc, who) {
        Ok((user_id, _)) => dc.sessions(user_id).iter().map(|session| session.key_id).collect(),
        Err(_) => vec![key_id(who)?],
    };
    let ended = keys.into_iter().filter(|key| dc.revoke(*key)).count();
    if ended == 0 { Err(format!("nobody is signed in as {who}")) } else { Ok(format!("{ended} ended\n")) }
}

fn status(dc: &TestDc) -> String {
    let mut text = String::new();
    let world = dc.world();
    for account in &world.accounts {
        let _ = writeln!(text, "{} {} (DC {})", account.phone, account.first_name, account.dc_id);
        for session in dc.sessions(account.user_id) {
            let (key, model) = (session.key_id.cast_unsigned(), &session.device_model);
            let _ = writeln!(text, "  session {key:016x} on DC {} {model}", session.dc_id);
        }
    }
    for chat in &world.chats {
        let _ = writeln!(text, "{} {}", chat.marked_id(), chat.title);
        for call in dc.calls(chat.id) {
            let state = if call.live { "live" } else { "ended" };
            let _ =
                writeln!(text, "  {state} {:?} call, title {:?}", call.kind, call.title.unwrap_or_default());
        }
    }
    for (id, fault, when) in dc.faults() {
        let _ = writeln!(text, "fault {id}: {fault:?}, {when:?}");
    }
    let _ = writeln!(text, "{} connections, {} requests so far", dc.connections(), dc.requests().len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fault::At, world::World};

    #[test]
    fn commands_over_the_socket() {
        let dc = Arc::new(TestDc::start(World::example()).unwrap());
        let control = serve(Arc::clone(&dc), 0).unwrap();
        let say = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            say(control, &words).unwrap()
        };
        assert_eq!(
            say("fault FLOOD_WAIT_31 --method users.getUsers --times 1 --at later"),
            Ok("fault 1\n".into())
        );
        let when = When { at: At::Later, ..When::method("users.getUsers").times(1) };
        assert_eq!(dc.faults(), [(1, Fault::named("FLOOD_WAIT_31"), when)]);
        assert_eq!(say("clear 1"), Ok(String::new()));
        assert!(
            say("clear 1").is_err() && say("fault silence --times x").is_err() && say("nonsense").is_err()
        );

        let string = say("session +15550100001").unwrap();
        assert_eq!(string.trim_end().len(), 353);
        let key = dc.sessions(World::ALICE)[0].key_id.cast_unsigned();
        assert!(say("status").unwrap().contains(&format!("session {key:016x} on DC 2")));
        assert_eq!(say(&format!("revoke {key:016x}")), Ok("1 ended\n".into()));
        assert!(say("revoke +15550100001").is_err());

        assert_eq!(say("start-webrtc @tgs_demo"), Ok(String::new()));
        assert_eq!(say("end-call -1002000000001"), Ok(String::new()));
        assert!(say("end-call @tgs_demo").is_err() && say("end-call @nobody").is_err());
        say("ingest rtmp://127.0.0.1:1/x").unwrap();
        assert_eq!(dc.world().ingest, "rtmp://127.0.0.1:1/x");
    }
}
