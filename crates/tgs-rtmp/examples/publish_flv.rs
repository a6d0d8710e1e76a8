//! `publish_flv URL FILE.flv`: publishes a file of H.264 and AAC in real time.
//!
//!     ffmpeg -i film.mp4 -c copy film.flv
//!     cargo run --example publish_flv rtmp://127.0.0.1/live/key film.flv

use std::{
    env,
    error::Error,
    fs::File,
    io::BufReader,
    time::{Duration, Instant},
};

use tgs_rtmp::{client::RtmpConnection, flv::FlvReader, metadata::Metadata, url::RtmpUrl};

fn main() -> Result<(), Box<dyn Error>> {
    let args = env::args().skip(1).collect::<Vec<_>>();
    let [url, file] = &args[..] else { return Err("usage: publish_flv URL FILE.flv".into()) };
    let url = RtmpUrl::parse(url)?;
    let mut tags = FlvReader::new(BufReader::new(File::open(file)?));
    // Servers pass the metadata on to players; the decoder reads the sequence headers instead.
    let metadata = Metadata {
        width: 1280,
        height: 720,
        fps: 30,
        video_kbps: 1800,
        audio_kbps: 128,
        audio_rate: 44_100,
        channels: 2,
    };
    let mut connection = RtmpConnection::open(&url, &metadata, || false, Duration::from_secs(10))?;
    println!("publishing to {url}");
    let began = Instant::now();
    while let Some(tag) = tags.next_tag()? {
        connection.wait(began + Duration::from_millis(tag.timestamp))?;
        connection.send(&tag)?;
    }
    connection.goodbye();
    Ok(())
}
