//! Compares chunk headers with ffmpeg's, and reads messages back.

use proptest::{collection::vec, prelude::*};
use rml_rtmp::chunk_io::ChunkDeserializer;

use super::*;

const LONGEST: usize = 1 << 20;

fn message(kind: u8, timestamp: u32, body: &[u8]) -> Message<'_> {
    Message { kind, stream: 1, timestamp, body }
}

fn read_all(reader: &mut ChunkReader, bytes: &[u8]) -> Vec<Received> {
    reader.push(bytes);
    std::iter::from_fn(|| reader.next_message().unwrap()).collect()
}

#[test]
fn headers_are_compressed_as_ffmpeg_does_it() {
    const EDGE: u32 = 0x00FF_FFFF;
    // Type, timestamp and length of messages on one chunk stream, and the last message's header.
    type Case = (&'static str, &'static [(u8, u32, usize)], &'static [u8]);
    let table: [Case; 16] = [
        ("first", &[(9, 5, 3)], &[0x06, 0, 0, 5, 0, 0, 3, 9, 1, 0, 0, 0]),
        ("another length", &[(9, 5, 3), (9, 45, 4)], &[0x46, 0, 0, 40, 0, 0, 4, 9]),
        ("another type", &[(18, 0, 3), (8, 23, 3)], &[0x46, 0, 0, 23, 0, 0, 3, 8]),
        ("same length", &[(9, 5, 3), (9, 45, 3)], &[0x86, 0, 0, 40]),
        ("same length and step", &[(9, 5, 3), (9, 45, 3), (9, 85, 3)], &[0xC6]),
        ("same step, another length", &[(9, 5, 3), (9, 45, 3), (9, 85, 4)], &[0x46, 0, 0, 40, 0, 0, 4, 9]),
        ("step equal to the first time", &[(9, 40, 3), (9, 80, 3)], &[0x86, 0, 0, 40]),
        ("media of time zero", &[(9, 0, 3), (9, 0, 3)], &[0x06, 0, 0, 0, 0, 0, 3, 9, 1, 0, 0, 0]),
        ("commands of time zero", &[(20, 0, 3), (20, 0, 3)], &[0xC6]),
        ("metadata", &[(18, 0, 3), (18, 0, 3)], &[0x06, 0, 0, 0, 0, 0, 3, 18, 1, 0, 0, 0]),
        ("backwards", &[(9, 45, 3), (9, 5, 3)], &[0x06, 0, 0, 5, 0, 0, 3, 9, 1, 0, 0, 0]),
        ("below the edge", &[(9, EDGE - 1, 3)], &[0x06, 0xFF, 0xFF, 0xFE, 0, 0, 3, 9, 1, 0, 0, 0]),
        (
            "on the edge",
            &[(9, EDGE, 3)],
            &[0x06, 0xFF, 0xFF, 0xFF, 0, 0, 3, 9, 1, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF],
        ),
        ("over the edge by steps", &[(9, EDGE - 1, 3), (9, EDGE + 39, 3)], &[0x86, 0, 0, 40]),
        (
            "a step as long as the edge",
            &[(9, 1, 3), (9, EDGE + 1, 3)],
            &[0x86, 0xFF, 0xFF, 0xFF, 0, 0xFF, 0xFF, 0xFF],
        ),
        (
            "over the end of 32 bits",
            &[(9, u32::MAX - 5, 3), (9, 34, 3)],
            &[0x06, 0, 0, 34, 0, 0, 3, 9, 1, 0, 0, 0],
        ),
    ];
    for (what, messages, header) in table {
        let (mut writer, mut out) = (ChunkWriter::default(), Vec::new());
        for &(kind, timestamp, len) in messages {
            out.clear();
            writer.write(&mut out, ChunkStream::Video, message(kind, timestamp, &vec![7; len]));
        }
        let len = messages[messages.len() - 1].2;
        assert_eq!(out[..out.len() - len], *header, "{what}");
    }
}

#[test]
fn every_chunk_repeats_an_extended_timestamp() {
    let (mut writer, mut out) = (ChunkWriter::default(), Vec::new());
    writer.write(&mut out, ChunkStream::Video, message(9, 0x0100_0001, &[7; 300]));
    let mut expected = vec![0x06, 0xFF, 0xFF, 0xFF, 0, 1, 0x2C, 9, 1, 0, 0, 0, 1, 0, 0, 1];
    expected.extend([7; 128]);
    expected.extend([0xC6, 1, 0, 0, 1]);
    expected.extend([7; 128]);
    expected.extend([0xC6, 1, 0, 0, 1]);
    expected.extend([7; 44]);
    assert_eq!(out, expected);
    // The next timestamp is a small delta again, and its chunks carry no extended timestamp.
    out.clear();
    writer.write(&mut out, ChunkStream::Video, message(9, 0x0100_0029, &[7; 129]));
    assert_eq!(out[..8], [0x46, 0, 0, 40, 0, 0, 129, 9]);
    assert_eq!(out[8 + 128..], [0xC6, 7]);
}

#[test]
fn interleaved_chunk_streams_are_kept_apart() {
    let mut bytes = vec![0x04, 0, 0, 1, 0, 0, 130, 8, 1, 0, 0, 0];
    bytes.extend([1; 128]);
    bytes.extend([0x06, 0, 0, 2, 0, 0, 129, 9, 1, 0, 0, 0]);
    bytes.extend([2; 128]);
    bytes.extend([0xC4, 1, 1, 0xC6, 2]);
    // A two-byte chunk stream id, and an aborted message on it.
    bytes.extend([0x00, 10, 0, 0, 3, 0, 1, 0, 8, 1, 0, 0, 0]);
    bytes.extend([3; 128]);
    bytes.extend([0x02, 0, 0, 0, 0, 0, 4, 2, 0, 0, 0, 0, 0, 0, 0, 74]);
    bytes.extend([0x01, 0, 1, 0, 0, 4, 0, 0, 1, 8, 1, 0, 0, 0, 4]);
    let mut reader = ChunkReader::new(LONGEST);
    let received = read_all(&mut reader, &bytes);
    let seen =
        received.iter().map(|r| (r.chunk_stream, r.kind, r.timestamp, r.body.len())).collect::<Vec<_>>();
    assert_eq!(seen, [(4, 8, 1, 130), (6, 9, 2, 129), (2, 2, 0, 4), (320, 8, 4, 1)]);
}

#[test]
fn nonsense_is_refused() {
    let long = [0x04, 0, 0, 0, 0xFF, 0xFF, 0xFF, 8, 0, 0, 0, 0];
    let table: [(&[u8], Malformed); 4] = [
        (&[0xC4], Malformed::NoHistory),
        (&long, Malformed::TooLong(0x00FF_FFFF)),
        (&[0x02, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0], Malformed::Control),
        (&[0x02, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0], Malformed::Control),
    ];
    for (bytes, error) in table {
        let mut reader = ChunkReader::new(LONGEST);
        reader.push(bytes);
        assert_eq!(reader.next_message(), Err(error), "{bytes:?}");
    }
    let mut reader = ChunkReader::new(LONGEST);
    for id in 0..=64 {
        reader.push(&[0x00, id, 0, 0, 0, 0, 0, 1, 8, 0, 0, 0, 0, 7]);
    }
    assert_eq!((0..64).filter(|_| matches!(reader.next_message(), Ok(Some(_)))).count(), 64);
    assert_eq!(reader.next_message(), Err(Malformed::TooManyStreams));
}

#[derive(Debug, Clone)]
struct Planned {
    lane: ChunkStream,
    kind: u8,
    timestamp: u32,
    len: usize,
}

/// Media on two chunk streams with small deltas, from 0, just below 2^24 or 2^32, or any timestamp.
fn plan() -> impl Strategy<Value = Vec<Planned>> {
    let start = prop_oneof![Just(0), Just(0x00FF_FFFF - 200), Just(u32::MAX - 200), any::<u32>()];
    let step = (any::<bool>(), 0_u32..50, prop_oneof![0_usize..20, 100_usize..600, 50_000_usize..70_000]);
    (start, vec(step, 1..40)).prop_map(|(start, steps)| {
        let mut timestamp = start;
        let plan = |(video, step, len)| {
            timestamp = timestamp.wrapping_add(step);
            let (lane, kind) =
                if video { (ChunkStream::Video, kind::VIDEO) } else { (ChunkStream::Audio, kind::AUDIO) };
            Planned { lane, kind, timestamp, len }
        };
        steps.into_iter().map(plan).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn messages_come_back(
        plan in plan(),
        chunk_size in prop_oneof![Just(128_usize), Just(4096), Just(60_000)],
        split in 1_usize..5000,
    ) {
        let mut writer = ChunkWriter { chunk_size, ..ChunkWriter::default() };
        let mut reader = ChunkReader { chunk_size, ..ChunkReader::new(LONGEST) };
        let mut other = ChunkDeserializer::new();
        other.set_max_chunk_size(chunk_size).unwrap();
        let mut bytes = Vec::new();
        for (i, p) in plan.iter().enumerate() {
            let body = vec![i as u8; p.len];
            let message = Message { kind: p.kind, stream: 1, timestamp: p.timestamp, body: &body };
            writer.write(&mut bytes, p.lane, message);
        }
        let pieces = bytes.chunks(split);
        let ours = pieces.clone().flat_map(|piece| read_all(&mut reader, piece)).collect::<Vec<_>>();
        let mut theirs = Vec::new();
        for piece in pieces {
            let mut piece = piece;
            while let Some(message) = other.get_next_message(piece).unwrap() {
                theirs.push(message);
                piece = &[];
            }
        }
        prop_assert_eq!(ours.len(), plan.len());
        prop_assert_eq!(theirs.len(), plan.len());
        for (i, p) in plan.iter().enumerate() {
            let expected = Received {
                chunk_stream: p.lane as u32,
                kind: p.kind,
                stream: 1,
                timestamp: p.timestamp,
                body: vec![i as u8; p.len],
            };
            prop_assert_eq!(&ours[i], &expected);
            let their = &theirs[i];
            prop_assert_eq!(
                (their.type_id, their.message_stream_id, their.timestamp.value, &their.data[..]),
                (p.kind, 1, p.timestamp, &expected.body[..])
            );
        }
    }

    #[test]
    fn garbage_is_read_without_panic(bytes in vec(any::<u8>(), 0..2000), split in 1_usize..100) {
        let mut reader = ChunkReader::new(LONGEST);
        for piece in bytes.chunks(split) {
            reader.push(piece);
            while let Ok(Some(_)) = reader.next_message() {}
        }
    }
}
