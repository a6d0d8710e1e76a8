//! What is said can be pasted into a report.

use tgs_testdc::{At, Fault, When, World};

use crate::harness::Home;

/// The trials of ffmpeg and yt-dlp take a second and say nothing of these.
const NO_TRIAL: &str = "FFMPEG_PATH=/bin/false\nYTDLP_PATH=/bin/false\n";

/// Values that are unmistakable, in every setting that is a secret.
const SECRETS: [(&str, &str); 7] = [
    ("API_HASH", "zzAPIHASHzzSECRETzz"),
    ("SESSION_STRING", "1BVtsOzzSESSIONzzSECRETzz"),
    ("STANDBY_SESSION_STRING", "1BVtsOzzSTANDBYzzSECRETzz"),
    ("TWO_FA_PASSWORD", "zzPASSWORDzzSECRETzz"),
    ("OUTPUT_URL", "rtmps://zzUSERzzSECRETzz:zzPWzzSECRETzz@127.0.0.1:1/app/zzKEYzzSECRETzz"),
    // Without a valid name, so that a part of the key stands where the name is expected.
    ("ALSO_OUTPUT_URLS", "rtmps://127.0.0.1:1/app/zzKEYzzSECRETzz?a=zzTOKENzzSECRETzz"),
    ("ALSO_OUTPUT_PROXIES", "vk=socks5://zzUSERzzSECRETzz:zzPWzzSECRETzz@127.0.0.1:1"),
];

/// How somebody may write a setting.
type Form = fn(&str, &str) -> String;

#[test]
fn no_secret_is_shown_however_it_is_written() {
    let home = Home::new();
    let forms: [Form; 8] = [
        |name, value| format!("{name}={value}"),
        |name, value| format!("{name}='{value}"),
        |name, value| format!("{name}=\"{value}\\n\""),
        |name, value| format!("{name}={value} and {value}"),
        |name, value| format!("export {name}={value} # {value}"),
        |name, value| format!("{name}: {value}\n{name}=$({value})"),
        |name, value| format!("{name}={value}\n{name}={value}2"),
        |name, value| format!("{name}={value}\u{1}\\"),
    ];
    for form in forms {
        let text: String = SECRETS.iter().map(|(name, value)| form(name, value) + "\n").collect();
        let text = text + NO_TRIAL;
        home.write_env(&text);
        for args in [&["--offline"][..], &["--offline", "--json"], &["--offline", "--env-file", ".env"]] {
            let said = home.run(args);
            assert!(said.code == Some(1), "{}", said.out);
            for text in [&said.out, &said.err] {
                assert!(!text.contains("SECRET"), "{text}");
            }
        }
    }
}

#[test]
fn a_secret_in_the_wrong_place_is_not_shown() {
    let mut home = Home::new();
    let session = home.value("SESSION_STRING");
    for name in [
        "PLAYLIST",
        "FILLER",
        "CHAT_ID",
        "FFMPEG_ARGS",
        "FFMPEG_PATH",
        "YTDLP_PATH",
        "YTDLP_ARGS",
        "RUST_LOG",
        "CALL_TITLE",
    ] {
        home.set(name, &session);
    }
    let said = home.run(&["--offline"]);
    assert!(!said.out.contains(&session[..40]), "{}", said.out);
    // Where it stands nowhere else, too.
    home.set("SESSION_STRING", "");
    let said = home.run(&["--offline", "--json"]);
    assert!(!said.out.contains(&session[20..60]), "{}", said.out);
}

#[test]
fn tokens_in_the_playlist_are_not_shown() {
    let _ = tgs_e2e::bin_path::tgs_stream();
    let home = Home::new();
    let url = "http://zzUSERzz:zzPASSzz@127.0.0.1:1/a.mp4?token=zzTOKENzz&v=1";
    std::fs::write(home.path().join("playlist.txt"), format!("{url}\n")).unwrap();
    let said = home.run(&[]);
    assert!(said.of("playlist")[0].contains("; entry 1 cannot be played"), "{}", said.out);
    assert!(!said.out.contains("zz"), "{}", said.out);
}

#[test]
fn no_secret_is_shown_whatever_telegram_does() {
    let faults = [
        Fault::named("AUTH_KEY_UNREGISTERED"),
        Fault::Drop,
        Fault::Garbage,
        Fault::BadSalt,
        Fault::WrongSession,
        Fault::Transport(-429),
    ];
    std::thread::scope(|threads| {
        for fault in faults {
            for when in
                [When::at(At::Init), When::at(At::Later), When::method("phone.getGroupCallStreamRtmpUrl")]
            {
                let fault = fault.clone();
                threads.spawn(|| {
                    let mut home = Home::new();
                    home.set("STANDBY_SESSION_STRING", &home.session(World::ALICE).telethon_string());
                    home.set("TWO_FA_PASSWORD", "correct horse");
                    home.set("FFMPEG_PATH", "/bin/false");
                    home.set("YTDLP_PATH", "/bin/false");
                    home.dc.fault(fault, when);
                    // The harness looks for secrets in both.
                    let said = home.run(&[]);
                    assert_eq!(said.code, Some(1), "{}", said.out);
                });
            }
        }
    });
}
