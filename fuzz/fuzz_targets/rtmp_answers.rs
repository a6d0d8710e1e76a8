//! No bytes of an RTMP server panic the publisher, and what they make it hold and send stays small.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, Vec<&[u8]>)| {
    let (live, pieces) = input;
    tgs_rtmp::fuzz::server_answers(live, &pieces);
});
