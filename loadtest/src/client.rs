//! One blocking WebSocket client of the native protocol. The tests talk through it, and a run's connections begin as one.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use serde_json::Value;
use tungstenite::client::IntoClientRequest as _;
use tungstenite::http::{HeaderName, HeaderValue};
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{HandshakeError, Message, WebSocket};

use crate::tls::{self, Stream};
use crate::{Context as _, Failure};

/// What comes out of a socket.
#[derive(Clone, Debug, PartialEq)]
pub enum Got {
    /// A frame.
    Frame(Value),
    /// The server closed with this code and reason.
    Closed(u16, String),
    /// The connection ended without a close frame.
    Cut(String),
    /// Nothing within the time.
    Nothing,
}

/// Why a socket was not opened.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The server answered with another status than 101.
    #[error("the upgrade was answered with {status}: {body}")]
    Status {
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
    /// It could not be reached, or spoke no HTTP.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// An open socket.
pub struct Client {
    socket: WebSocket<Stream>,
    raw: Vec<String>,
}

/// Opens `/ws/chat` (or another path) with these headers.
///
/// # Errors
/// See [`Refused`].
pub fn open(
    address: &str,
    path: &str,
    headers: &[(&str, &str)],
    config: &Arc<ClientConfig>,
) -> Result<Client, Refused> {
    let mut request = format!("wss://{address}{path}").into_client_request().context("the address of the socket")?;
    for (name, value) in headers {
        let name: HeaderName = name.parse().context("a header")?;
        request.headers_mut().insert(name, HeaderValue::from_str(value).context("a header")?);
    }
    let stream = tls::connect(address, config)?;
    stream.sock.set_read_timeout(Some(Duration::from_mins(1))).context("setting a limit")?;
    // The default would take 128 KiB for each of thousands.
    let limits = WebSocketConfig::default().read_buffer_size(4096).write_buffer_size(0);
    match tungstenite::client::client_with_config(request, stream, Some(limits)) {
        Ok((socket, _)) => Ok(Client { socket, raw: Vec::new() }),
        Err(HandshakeError::Failure(tungstenite::Error::Http(answer))) => {
            let body = answer.body().as_deref().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
            Err(Refused::Status { status: answer.status().as_u16(), body })
        }
        Err(HandshakeError::Failure(why)) => Err(Failure::new("opening the socket", why).into()),
        Err(HandshakeError::Interrupted(_)) => Err(Failure::new("opening the socket", "no answer within 60 s").into()),
    }
}

impl Client {
    /// Sends a frame.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send(&mut self, frame: &Value) -> Result<(), Failure> {
        self.send_message(Message::text(frame.to_string()))
    }

    /// Sends any message, also such as the protocol does not know.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn send_message(&mut self, message: Message) -> Result<(), Failure> {
        self.socket.send(message).context("sending")
    }

    /// What comes next, within this time.
    pub fn recv(&mut self, within: Duration) -> Got {
        let end = Instant::now() + within;
        loop {
            let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            if let Err(why) = self.socket.get_ref().sock.set_read_timeout(Some(left)) {
                return Got::Cut(why.to_string());
            }
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    self.raw.push(text.as_str().to_owned());
                    return match serde_json::from_str(text.as_str()) {
                        Ok(frame) => Got::Frame(frame),
                        Err(why) => Got::Cut(format!("not JSON: {why}: {text}")),
                    };
                }
                Ok(Message::Close(close)) => {
                    // Lets the answer to the close frame out.
                    let _ = self.socket.flush();
                    return match close {
                        Some(close) => Got::Closed(close.code.into(), close.reason.as_str().to_owned()),
                        None => Got::Closed(1005, String::new()),
                    };
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(why))
                    if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) =>
                {
                    if Instant::now() >= end {
                        return Got::Nothing;
                    }
                }
                Err(why) => return Got::Cut(why.to_string()),
            }
        }
    }

    /// Text frames exactly as they came on the wire since the last call.
    pub fn take_raw(&mut self) -> Vec<String> {
        std::mem::take(&mut self.raw)
    }

    /// Closes with code 1000 and waits for the answer.
    pub fn close(mut self) {
        let _ = self.socket.close(None);
        for _ in 0..10_000 {
            if matches!(self.recv(Duration::from_secs(10)), Got::Closed(..) | Got::Cut(_) | Got::Nothing) {
                return;
            }
        }
    }

    /// The TCP connection under it, to shut it or to read its addresses.
    #[must_use]
    pub fn tcp(&self) -> &std::net::TcpStream {
        &self.socket.get_ref().sock
    }

    /// The TLS stream under it, to write what no WebSocket client would.
    pub fn stream(&mut self) -> &mut Stream {
        self.socket.get_mut()
    }

    /// The socket itself, for a loop of one's own.
    #[must_use]
    pub fn into_socket(self) -> WebSocket<Stream> {
        self.socket
    }
}
