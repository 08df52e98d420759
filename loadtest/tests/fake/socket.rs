//! One connection of the fake server: non-blocking TLS, HTTP until the upgrade, a WebSocket after it.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;

use rustls::{ServerConnection, StreamOwned};
use serde_json::Value;
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::frame::CloseFrame;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Message, WebSocket};

/// The bytes' way.
pub type Tls = StreamOwned<ServerConnection, TcpStream>;

/// A request over HTTP.
pub struct Request {
    pub method: String,
    pub path: String,
    pub query: String,
    headers: Vec<(String, String)>,
    pub body: Value,
}

impl Request {
    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }

    /// The bearer token.
    pub fn bearer(&self) -> Option<&str> {
        self.header("authorization")?.strip_prefix("Bearer ")
    }
}

/// What came out of a connection.
pub enum Input {
    Request(Request),
    Frame(Value),
    /// The pong to ping number so and so.
    Pong(u64),
    /// Something that is not allowed.
    Violation(String),
    /// It is over.
    End,
}

/// A connection.
pub enum Socket {
    Http {
        tls: Box<Tls>,
        input: Vec<u8>,
        output: Vec<u8>,
    },
    Web(Box<WebSocket<Tls>>),
    /// Between the two, and after the end.
    Gone,
}

impl Socket {
    pub fn new(tcp: TcpStream, tls: ServerConnection) -> Self {
        Self::Http { tls: Box::new(StreamOwned::new(tls, tcp)), input: Vec::new(), output: Vec::new() }
    }

    pub fn tcp(&self) -> Option<&TcpStream> {
        match self {
            Self::Http { tls, .. } => Some(&tls.sock),
            Self::Web(web) => Some(&web.get_ref().sock),
            Self::Gone => None,
        }
    }

    /// All that has come. A request for an upgrade is the last of its batch: what follows it is read after [`Socket::upgrade`].
    pub fn read(&mut self) -> Vec<Input> {
        let mut inputs = Vec::new();
        match self {
            Self::Http { tls, input, .. } => {
                let mut buffer = [0; 16 * 1024];
                let ended = loop {
                    match tls.read(&mut buffer) {
                        Ok(0) => break true,
                        Ok(count) => input.extend_from_slice(&buffer[..count]),
                        Err(why) if why.kind() == io::ErrorKind::WouldBlock => break false,
                        Err(_) => break true,
                    }
                };
                while let Some(request) = take_request(input) {
                    let upgrade = request.header("upgrade").is_some();
                    inputs.push(Input::Request(request));
                    if upgrade {
                        return inputs;
                    }
                }
                if ended {
                    inputs.push(Input::End);
                }
            }
            Self::Web(web) => loop {
                match web.read() {
                    Ok(Message::Text(text)) => inputs.push(match serde_json::from_str(text.as_str()) {
                        Ok(frame) => Input::Frame(frame),
                        Err(why) => Input::Violation(format!("{why}: {text}")),
                    }),
                    Ok(Message::Pong(number)) => {
                        let number = <[u8; 8]>::try_from(&number[..]).map(u64::from_be_bytes);
                        inputs.extend(number.map(Input::Pong));
                    }
                    Ok(Message::Binary(_)) => inputs.push(Input::Violation("a binary frame".to_owned())),
                    Ok(_) => {}
                    Err(tungstenite::Error::Io(why)) if why.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {
                        inputs.push(Input::End);
                        break;
                    }
                }
            },
            Self::Gone => {}
        }
        inputs
    }

    /// Whether something that came stands in the buffers of TLS: writing may read, and no poll tells of it.
    pub fn has_more(&mut self) -> bool {
        let tls = match self {
            Self::Http { tls, .. } => tls,
            Self::Web(web) => web.get_mut(),
            Self::Gone => return false,
        };
        tls.conn.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0)
    }

    /// Answers 101 and goes on as a WebSocket.
    pub fn upgrade(&mut self, request: &Request) {
        let accept = derive_accept_key(request.header("sec-websocket-key").unwrap_or_default().as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
        );
        if let Self::Http { mut tls, input, .. } = std::mem::replace(self, Self::Gone) {
            // The first bytes on a connection that is ready: they have room.
            if tls.write_all(head.as_bytes()).is_ok() {
                let limits = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
                *self = Self::Web(Box::new(WebSocket::from_partially_read(*tls, input, Role::Server, Some(limits))));
            }
        }
    }

    /// Answers a request.
    pub fn answer(&mut self, status: u16, body: &Value) {
        if let Self::Http { output, .. } = self {
            let body = if body.is_null() { String::new() } else { body.to_string() };
            output.extend_from_slice(
                format!(
                    "HTTP/1.1 {status} Fake\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
                .as_bytes(),
            );
        }
    }

    /// Sends a text frame, and the ping with this number behind it.
    pub fn send(&mut self, text: String, ping: Option<u64>) {
        if let Self::Web(web) = self {
            // What has no room waits inside; a connection that is over says so when it is read.
            let _ = web.write(Message::text(text));
            if let Some(number) = ping {
                let _ = web.write(Message::Ping(number.to_be_bytes().to_vec().into()));
            }
        }
    }

    /// Sends a close frame.
    pub fn close(&mut self, code: u16) {
        if let Self::Web(web) = self {
            let _ = web.close(Some(CloseFrame { code: code.into(), reason: "on purpose".into() }));
        }
    }

    /// Writes what has room. True when something is left.
    pub fn flush(&mut self) -> bool {
        let blocked = |outcome: io::Result<()>| outcome.is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock);
        match self {
            Self::Http { tls, output, .. } => {
                while !output.is_empty() {
                    match tls.write(output) {
                        Ok(count) => drop(output.drain(..count)),
                        Err(why) => return blocked(Err(why)),
                    }
                }
                blocked(tls.flush())
            }
            Self::Web(web) => match web.flush() {
                Err(tungstenite::Error::Io(why)) => blocked(Err(why)),
                _ => false,
            },
            Self::Gone => false,
        }
    }
}

/// The next whole request, taken off the front.
fn take_request(input: &mut Vec<u8>) -> Option<Request> {
    let end = input.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&input[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut first = lines.next()?.split(' ');
    let (method, target) = (first.next()?.to_owned(), first.next()?.to_owned());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    if input.len() < end + length {
        return None;
    }
    let body = serde_json::from_slice(&input[end..end + length]).unwrap_or(Value::Null);
    input.drain(..end + length);
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Some(Request { method, path: path.to_owned(), query: query.to_owned(), headers, body })
}
