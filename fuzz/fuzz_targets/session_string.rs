//! No text panics the reader of session strings; an accepted one is written and read unchanged.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tgs_telegram::session::string::SessionString;

fuzz_target!(|text: &str| {
    let Ok(session) = SessionString::decode(text) else { return };
    if let Some(address) = session.socket_addr() {
        let ours = SessionString::decode(session.to_telethon(address).expose()).expect("ours can be read");
        assert_eq!((ours.dc, &ours.key, ours.socket_addr()), (session.dc, &session.key, Some(address)));
    }
    if let Ok(text) = session.to_pyrogram() {
        assert_eq!(SessionString::decode(text.expose()).as_ref(), Ok(&session));
    }
});
