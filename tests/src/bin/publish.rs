//! `publish URL`: publishes the FLV stream on standard input in real time, by the connection under
//! test alone, with the environment it was given (SSL_CERT_FILE). Prints what went wrong and exits
//! with 1.

use std::{
    env, io,
    process::ExitCode,
    time::{Duration, Instant},
};

use tgs_e2e::ingest::METADATA;
use tgs_rtmp::{client::RtmpConnection, flv::FlvReader, url::RtmpUrl};

fn main() -> ExitCode {
    let Some(url) = env::args().nth(1) else {
        eprintln!("usage: publish URL < FLV");
        return ExitCode::from(2);
    };
    match run(&url) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(url: &str) -> anyhow::Result<()> {
    let mut connection =
        RtmpConnection::open(&RtmpUrl::parse(url)?, &METADATA, || false, Duration::from_secs(10))?;
    let began = Instant::now();
    let mut tags = FlvReader::new(io::stdin().lock());
    while let Some(tag) = tags.next_tag()? {
        connection.wait(began + Duration::from_millis(tag.timestamp))?;
        connection.send(&tag)?;
    }
    connection.goodbye();
    Ok(())
}
