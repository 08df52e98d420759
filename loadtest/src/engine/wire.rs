//! WebSocket frames as a client writes and reads them. Pure: bytes in, bytes out.
//!
//! Frames are looked at where they lie; nothing is copied unless a message comes in pieces.

use std::ops::Range;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// The next piece of a message.
    Continuation,
    /// Text.
    Text,
    /// Bytes.
    Binary,
    /// The end.
    Close,
    /// Are you there?
    Ping,
    /// Here I am.
    Pong,
}

/// A frame of the server, still in the buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it carries.
    pub opcode: Opcode,
    /// Whether the message ends with it.
    pub last: bool,
    /// Where its payload lies.
    pub payload: Range<usize>,
}

/// A message may have at most so many bytes.
pub const MESSAGE_MAX: usize = 16 * 1024 * 1024;

/// The frame that begins at `at`. `None`: it is not complete yet.
///
/// # Errors
/// When no server may send such a frame.
pub fn read(bytes: &[u8], at: usize) -> Result<Option<Frame>, &'static str> {
    let Some(&[first, second]) = bytes.get(at..at + 2) else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err("a frame with reserved bits");
    }
    if second & 0x80 != 0 {
        return Err("a masked frame from a server");
    }
    let opcode = match first & 0x0f {
        0 => Opcode::Continuation,
        1 => Opcode::Text,
        2 => Opcode::Binary,
        8 => Opcode::Close,
        9 => Opcode::Ping,
        10 => Opcode::Pong,
        _ => return Err("a frame of no known type"),
    };
    let (length, head) = match second & 0x7f {
        126 => match bytes.get(at + 2..at + 4) {
            Some(&[a, b]) => (u64::from(u16::from_be_bytes([a, b])), 4),
            _ => return Ok(None),
        },
        127 => match bytes.get(at + 2..at + 10).and_then(|eight| eight.try_into().ok()) {
            Some(eight) => (u64::from_be_bytes(eight), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    let Some(length) = usize::try_from(length).ok().filter(|&length| length <= MESSAGE_MAX) else {
        return Err("a frame larger than 16 MiB");
    };
    let payload = at + head..at + head + length;
    if payload.end > bytes.len() {
        return Ok(None);
    }
    Ok(Some(Frame { opcode, last: first & 0x80 != 0, payload }))
}

/// Appends a frame with this payload, masked as a client's must be.
pub fn write(opcode: Opcode, payload: &[u8], mask: u32, out: &mut Vec<u8>) {
    let code = match opcode {
        Opcode::Continuation => 0,
        Opcode::Text => 1,
        Opcode::Binary => 2,
        Opcode::Close => 8,
        Opcode::Ping => 9,
        Opcode::Pong => 10,
    };
    out.push(0x80 | code);
    match payload.len() {
        #[allow(clippy::cast_possible_truncation)] // below 126
        short @ 0..126 => out.push(0x80 | short as u8),
        length => match u16::try_from(length) {
            Ok(length) => {
                out.push(0x80 | 0x7e);
                out.extend_from_slice(&length.to_be_bytes());
            }
            Err(_) => {
                out.push(0x80 | 0x7f);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        },
    }
    let mask = mask.to_be_bytes();
    out.extend_from_slice(&mask);
    out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
}

/// The code of a close frame; 1005 when it has none.
#[must_use]
pub fn close_code(payload: &[u8]) -> u16 {
    match payload {
        [a, b, ..] => u16::from_be_bytes([*a, *b]),
        _ => 1005,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As a server writes it.
    fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match payload.len() {
            short @ 0..126 => out.push(u8::try_from(short).expect("short")),
            length @ 126..65_536 => {
                out.push(126);
                out.extend_from_slice(&u16::try_from(length).expect("middle").to_be_bytes());
            }
            length => {
                out.push(127);
                out.extend_from_slice(&(length as u64).to_be_bytes());
            }
        }
        out.extend_from_slice(payload);
        out
    }

    #[test]
    fn frames_of_every_length_are_read_and_none_before_it_is_whole() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            let payload = vec![7; length];
            let bytes = unmasked(0x81, &payload);
            let frame = read(&bytes, 0).expect("a frame").expect("whole");
            assert_eq!((frame.opcode, frame.last, &bytes[frame.payload]), (Opcode::Text, true, &payload[..]));
            for cut in [0, 1, 2, 3, bytes.len() - 1] {
                if cut < bytes.len() {
                    assert_eq!(read(&bytes[..cut], 0), Ok(None));
                }
            }
        }
    }

    #[test]
    fn what_a_server_may_not_send_is_refused() {
        assert!(read(&[0xc1, 0], 0).is_err());
        assert!(read(&[0x81, 0x80], 0).is_err());
        assert!(read(&[0x83, 0], 0).is_err());
        assert!(read(&[0x82, 127, 0, 0, 0, 1, 0, 0, 0, 0], 0).is_err());
    }

    #[test]
    fn what_is_written_is_what_another_reader_reads() {
        use tungstenite::protocol::{Role, WebSocket, WebSocketConfig};
        for length in [0, 5, 126, 70_000] {
            let text = "x".repeat(length);
            let mut bytes = Vec::new();
            write(Opcode::Text, text.as_bytes(), 0x1234_5678, &mut bytes);
            let config = WebSocketConfig::default();
            let mut other = WebSocket::from_raw_socket(std::io::Cursor::new(bytes), Role::Server, Some(config));
            assert_eq!(other.read().expect("a message").to_text().expect("text"), text);
        }
    }

    #[test]
    fn close_codes() {
        assert_eq!((close_code(&[]), close_code(&[0x11, 0x97, b'x'])), (1005, 4503));
    }
}
