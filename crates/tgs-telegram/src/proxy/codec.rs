//! The layers of a connection behind a proxy, without I/O: frames, obfuscation, records of TLS.

use super::{
    fake_tls::{records, take_record},
    framing::{Frame, Framing, InvalidFrame},
    obfuscation::{Keystream, Obfuscation},
};

/// Longest incomplete input in bytes: one frame and one record.
const LONGEST_INPUT: usize = 5 << 20;

/// From frames to the bytes of the connection.
pub(super) struct WireEncoder {
    framing: Framing,
    keystream: Option<Keystream>,
    /// Precedes the first frame, in the clear.
    header: Vec<u8>,
    /// Whether records enclose the stream, and whether none was sent yet.
    records: Option<bool>,
}

/// From the bytes of the connection to frames.
pub(super) struct WireDecoder {
    framing: Framing,
    keystream: Option<Keystream>,
    in_records: bool,
    received: Vec<u8>,
    stream: Vec<u8>,
}

/// Full, as on loopback and through SOCKS5 or HTTP.
pub(super) fn full() -> (WireEncoder, WireDecoder) {
    codec(Framing::Full(0), None, false)
}

/// The stream of an MTProxy.
pub(super) fn mtproxy(obfuscation: Obfuscation, in_records: bool) -> (WireEncoder, WireDecoder) {
    codec(Framing::Padded, Some(obfuscation), in_records)
}

fn codec(framing: Framing, obfuscation: Option<Obfuscation>, in_records: bool) -> (WireEncoder, WireDecoder) {
    let (header, outgoing, incoming) = match obfuscation {
        Some(Obfuscation { header, outgoing, incoming }) => (header, Some(outgoing), Some(incoming)),
        None => (Vec::new(), None, None),
    };
    let encoder = WireEncoder { framing, keystream: outgoing, header, records: in_records.then_some(true) };
    let (received, stream) = (Vec::new(), Vec::new());
    (encoder, WireDecoder { framing, keystream: incoming, in_records, received, stream })
}

impl WireEncoder {
    /// The bytes to send for one frame.
    pub(super) fn encode(&mut self, frame: &Frame) -> Vec<u8> {
        let mut bytes = self.framing.encode(frame);
        if let Some(keystream) = &mut self.keystream {
            keystream.apply(&mut bytes);
        }
        let mut stream = std::mem::take(&mut self.header);
        stream.extend(bytes);
        match &mut self.records {
            Some(first) => records(&stream, std::mem::take(first)),
            None => stream,
        }
    }
}

impl WireDecoder {
    /// Takes received bytes.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<(), InvalidFrame> {
        if self.received.len() + self.stream.len() + bytes.len() > LONGEST_INPUT {
            return Err(InvalidFrame);
        }
        if !self.in_records {
            self.take(bytes.to_vec());
            return Ok(());
        }
        self.received.extend(bytes);
        while let Some(data) = take_record(&mut self.received)? {
            self.take(data);
        }
        Ok(())
    }

    fn take(&mut self, mut bytes: Vec<u8>) {
        if let Some(keystream) = &mut self.keystream {
            keystream.apply(&mut bytes);
        }
        self.stream.extend(bytes);
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, InvalidFrame> {
        self.framing.decode(&mut self.stream)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A decoder of each kind; one that knows the stream's keys gets random bytes either way.
    fn decoders() -> [WireDecoder; 3] {
        let obfuscated = |in_records| mtproxy(Obfuscation::new(&[1; 16], 2).unwrap(), in_records).1;
        [full().1, obfuscated(false), obfuscated(true)]
    }

    #[test]
    fn the_header_precedes_the_first_frame_only() {
        let obfuscation = Obfuscation::new(&[1; 16], 2).unwrap();
        let header = obfuscation.header.clone();
        let (mut encoder, _) = mtproxy(obfuscation, true);
        let frame = Frame::Message(vec![7; 40]);
        let (first, second) = (encoder.encode(&frame), encoder.encode(&frame));
        // ChangeCipherSpec, then one record with header and frame.
        assert_eq!((&first[..6], &first[6..9]), (&[0x14, 3, 3, 0, 1, 1][..], &[0x17, 3, 3][..]));
        assert_eq!(first[11..75], header);
        assert_eq!((&second[..3], second.len() < 80), (&[0x17, 3, 3][..], true));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(
            parts in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 0..8),
            records: bool,
        ) {
            for mut decoder in decoders() {
                for part in &parts {
                    let bytes = if records { crate::proxy::fake_tls::records(part, true) } else { part.clone() };
                    if decoder.feed(&bytes).is_err() {
                        break;
                    }
                    while let Ok(Some(_)) = decoder.next() {}
                }
            }
        }
    }
}
