//! No line of a client panics the reader of the control socket, and each error is one short line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tgs_control::{method::Call, rpc};

fuzz_target!(|line: &[u8]| {
    let answer = match rpc::parse_request(line) {
        Ok(request) => {
            let id = request.id.clone().unwrap_or_default();
            (id, Call::parse(request).map(|call| call.to_parts().1))
        }
        Err((id, error)) => (id, Err(error)),
    };
    let written = rpc::answer_line(&answer.0, &answer.1);
    assert_eq!(written.matches('\n').count(), 1);
    assert!(written.len() < 8 * line.len() + 4096, "{} bytes for {}", written.len(), line.len());
    rpc::parse_received(written.as_bytes()).expect("a client reads every answer");
});
