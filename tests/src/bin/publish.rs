//! `publish URL`: publishes the FLV stream on standard input in real time, with only the connection
//! under test and the inherited environment (SSL_CERT_FILE). Prints an error and exits with 1 on
//! failure.

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
