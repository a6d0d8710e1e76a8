//! No bytes of an RTMP client panic the server, and what they make it hold and send stays small.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, Vec<&[u8]>)| {
    let (skip_handshake, pieces) = input;
    tgs_rtmp::fuzz::client_requests(skip_handshake, &pieces);
});
