//! One WebSocket over TLS over TCP, for a program with blocking threads.
//!
//! A thread reads raw bytes from the socket and puts them into the inbox of the main thread, which alone holds TLS and WebSocket.
//! So the main thread waits in one place for lines of the person, bytes of the server and deadlines, and a send never waits for a read.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use tungstenite::client::IntoClientRequest as _;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

/// How long TCP, TLS and the upgrade may take, each.
const STEP: Duration = Duration::from_secs(10);
/// A frame of the server: `hello` with 100 rooms and their metadata, or a page of history, and room to grow.
const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Where the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// A name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl Address {
    /// `host:port`, with brackets around an IPv6 address.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether the server is on this very machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WHAT: &str = "an address looks like https://localhost:8443";
        if text.starts_with("http://") {
            return Err("the server speaks TLS only: write https://".to_owned());
        }
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("wss://")).unwrap_or(text);
        let authority = rest.split('/').next().unwrap_or_default();
        let (host, port) = match authority.strip_prefix('[').and_then(|inside| inside.split_once(']')) {
            Some((host, after)) => (host, after.strip_prefix(':')),
            None => match authority.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().map_err(|_| WHAT.to_owned())?,
            None if text.contains("://") => 443,
            None => 8443,
        };
        let named = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '@');
        if named { Ok(Self { host: host.to_owned(), port }) } else { Err(WHAT.to_owned()) }
    }
}

/// What the reading thread says.
#[derive(Debug)]
pub enum FromSocket {
    /// Bytes of this connection.
    Bytes(u64, Vec<u8>),
    /// This connection is at its end.
    Gone(u64, String),
}

/// An open WebSocket.
pub struct Link {
    /// Which connection of this process this is.
    pub number: u64,
    socket: WebSocket<Pipe>,
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Link({})", self.number)
    }
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Came {
    /// A text frame.
    Text(String),
    /// The server closes, with this code and reason.
    Closed(u16, String),
}

impl Link {
    /// Connects, and reads into `inbox` from then on.
    ///
    /// # Errors
    /// A sentence that says how far it came.
    pub fn open<T: From<FromSocket> + Send + 'static>(
        to: &Address,
        tls: &Arc<ClientConfig>,
        number: u64,
        inbox: SyncSender<T>,
    ) -> Result<Self, String> {
        let pipe = Pipe::open(to, tls)?;
        let request = format!("wss://{}/ws/chat", to.authority());
        let mut request = request.into_client_request().map_err(|error| error.to_string())?;
        let agent = tungstenite::http::HeaderValue::from_static(concat!("causerie-chat/", env!("CARGO_PKG_VERSION")));
        request.headers_mut().insert("user-agent", agent);
        let config =
            WebSocketConfig::default().max_message_size(Some(FRAME_BYTES_MAX)).max_frame_size(Some(FRAME_BYTES_MAX));
        let (mut socket, _) = tungstenite::client::client_with_config(request, pipe, Some(config))
            .map_err(|error| format!("The upgrade to a WebSocket failed: {error}"))?;

        socket.get_mut().fed = true;
        let tcp = &socket.get_ref().tcp;
        let prepare = || -> io::Result<TcpStream> {
            tcp.set_read_timeout(None)?;
            tcp.try_clone()
        };
        let reading = prepare().map_err(|error| error.to_string())?;
        thread::Builder::new()
            .name("causerie-read".to_owned())
            .spawn(move || read_all(reading, number, &inbox))
            .map_err(|error| error.to_string())?;
        Ok(Self { number, socket })
    }

    /// Connects as far as TLS, to see the certificate.
    ///
    /// # Errors
    /// A sentence that says how far it came.
    pub fn probe(to: &Address, tls: &Arc<ClientConfig>) -> Result<(), String> {
        Pipe::open(to, tls).map(drop)
    }

    /// Sends a text frame.
    ///
    /// # Errors
    /// The connection is broken.
    pub fn send(&mut self, text: String) -> Result<(), String> {
        self.socket.send(Message::text(text)).map_err(|error| error.to_string())
    }

    /// What is complete after these bytes came in. Pings are answered.
    ///
    /// # Errors
    /// The connection is broken, or the server violates the protocol.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Came>, String> {
        self.socket.get_mut().feed(bytes).map_err(|error| error.to_string())?;
        self.read()
    }

    /// What is complete already (frames may have come along with the end of the upgrade).
    ///
    /// # Errors
    /// As [`Link::feed`].
    pub fn read(&mut self) -> Result<Vec<Came>, String> {
        let mut came = Vec::new();
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => came.push(Came::Text(text.to_string())),
                Ok(Message::Close(frame)) => {
                    let (code, reason) = frame.map_or((1005, String::new()), |f| (f.code.into(), f.reason.to_string()));
                    came.push(Came::Closed(code, reason));
                }
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) if matches!(came.last(), Some(Came::Closed(..))) => break,
                Err(error) => return Err(error.to_string()),
            }
        }
        match self.socket.flush() {
            Err(error) if came.is_empty() => Err(error.to_string()),
            // What came is worth more; the next call meets the error again.
            _ => Ok(came),
        }
    }

    /// Says goodbye and ends the connection.
    pub fn close(mut self) {
        let _ = self.socket.close(None);
        let _ = self.socket.flush();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Wakes the reading thread, which then ends.
        let _ = self.socket.get_ref().tcp.shutdown(Shutdown::Both);
    }
}

fn connect(to: &Address) -> Result<TcpStream, String> {
    let addresses = (to.host.as_str(), to.port)
        .to_socket_addrs()
        .map_err(|error| format!("{} cannot be found: {error}", to.host))?;
    let mut last = format!("{} has no address", to.host);
    for address in addresses {
        match TcpStream::connect_timeout(&address, STEP) {
            Ok(tcp) => {
                let prepare = || {
                    tcp.set_nodelay(true)?;
                    tcp.set_read_timeout(Some(STEP))?;
                    tcp.set_write_timeout(Some(STEP))
                };
                return prepare().map(|()| tcp).map_err(|error: io::Error| error.to_string());
            }
            Err(error) => last = format!("{address} does not answer: {error}"),
        }
    }
    Err(last)
}

fn read_all<T: From<FromSocket>>(mut tcp: TcpStream, number: u64, inbox: &SyncSender<T>) {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let said = match tcp.read(&mut buffer) {
            Ok(0) => FromSocket::Gone(number, "the server closed the connection".to_owned()),
            Ok(n) => FromSocket::Bytes(number, buffer[..n].to_vec()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => FromSocket::Gone(number, error.to_string()),
        };
        let last = matches!(said, FromSocket::Gone(..));
        if inbox.send(said.into()).is_err() || last {
            return;
        }
    }
}

/// TLS between the WebSocket and the socket. While connecting it reads the socket itself; then it is fed.
struct Pipe {
    conn: ClientConnection,
    tcp: TcpStream,
    fed: bool,
}

impl Pipe {
    fn open(to: &Address, tls: &Arc<ClientConfig>) -> Result<Self, String> {
        let mut tcp = connect(to)?;
        let name = ServerName::try_from(to.host.clone()).map_err(|error| error.to_string())?;
        let mut conn = ClientConnection::new(Arc::clone(tls), name).map_err(|error| error.to_string())?;
        while conn.is_handshaking() {
            conn.complete_io(&mut tcp).map_err(|error| format!("TLS with {}: {error}", to.authority()))?;
        }
        Ok(Self { conn, tcp, fed: false })
    }

    fn feed(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.conn.read_tls(&mut bytes)?;
            self.conn.process_new_packets().map_err(io::Error::other)?;
        }
        self.flush()
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.conn.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock && !self.fed => {
                    if self.conn.read_tls(&mut self.tcp)? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                    self.conn.process_new_packets().map_err(io::Error::other)?;
                }
                other => return other,
            }
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.conn.writer().write(bytes)?;
        // What rustls holds back is bounded: it leaves before more is taken.
        self.flush()?;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        while self.conn.wants_write() {
            self.conn.write_tls(&mut self.tcp)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_in_the_usual_forms() {
        let at = |host: &str, port| Ok(Address { host: host.to_owned(), port });
        assert_eq!("https://localhost:8443".parse(), at("localhost", 8443));
        assert_eq!("wss://chat.example.org/ws/chat".parse(), at("chat.example.org", 443));
        assert_eq!("localhost".parse(), at("localhost", 8443));
        assert_eq!("https://[::1]:9000/".parse(), at("::1", 9000));
        assert_eq!("[::1]".parse(), at("::1", 8443));
        for bad in ["http://localhost:8443", "https://:8443", "https://a b", "https://a:port", "", "https://a:99999"] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
