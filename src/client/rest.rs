//! The REST calls of the terminal client, over the same TLS as its WebSocket.
//!
//! An error is what the server said (`application/problem+json`) or why it could not be reached; both are sentences for people.

use std::fmt;
use std::io::{Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use serde::Deserialize;
use serde_json::{Value, json};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, TcpConnector, Transport, TransportAdapter,
};
use uuid::Uuid;

use super::frames::{Entry, User};

/// How long one call may take.
const CALL: Duration = Duration::from_secs(20);
/// Pages that a list is read at most, so that a server cannot keep us for ever.
const PAGES_MAX: usize = 100;

/// Why a call gave nothing.
#[derive(Debug)]
pub enum RestError {
    /// The server refused.
    Refused {
        /// The HTTP status.
        status: u16,
        /// The stable code.
        code: String,
        /// A sentence.
        text: String,
    },
    /// The server could not be reached, or talked nonsense.
    Unreachable(String),
}

impl RestError {
    /// Whether the server answered with this code.
    #[must_use]
    pub fn is(&self, wanted: &str) -> bool {
        matches!(self, Self::Refused { code, .. } if code == wanted)
    }
}

impl fmt::Display for RestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { text, .. } | Self::Unreachable(text) => f.write_str(text),
        }
    }
}

/// What signing in gives.
#[derive(Clone, Debug, Deserialize)]
pub struct Login {
    /// For REST and WebSocket, for some minutes.
    pub access_token: String,
    /// For the next access token.
    #[serde(default)]
    pub refresh_token: String,
    /// Seconds until the access token ends.
    #[serde(default)]
    pub expires_in: u64,
}

/// A client of HTTP over our own TLS, without proxies and redirects; every status is an answer. A call may take so long.
#[must_use]
pub fn agent(tls: Arc<ClientConfig>, name: &'static str, call: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(call))
        .user_agent(name)
        .max_redirects(0)
        .proxy(None)
        .build();
    let connector = ().chain(TcpConnector::default()).chain(Tls(tls));
    ureq::Agent::with_parts(config, connector, DefaultResolver::default())
}

/// One server's REST interface.
pub struct Rest {
    agent: ureq::Agent,
    base: String,
    /// The access token of the moment.
    pub token: String,
}

impl fmt::Debug for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rest").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Rest {
    /// The interface below `https://host:port`.
    #[must_use]
    pub fn new(base: &str, tls: Arc<ClientConfig>) -> Self {
        let agent = agent(tls, concat!("causerie-chat/", env!("CARGO_PKG_VERSION")), CALL);
        Self { agent, base: format!("{base}/api/v1"), token: String::new() }
    }

    fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Value, RestError> {
        let unreachable = |error: ureq::Error| RestError::Unreachable(plain(&error));
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}/{path}", self.base))
            .header("content-type", "application/json");
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        let text = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(text).map_err(|error| RestError::Unreachable(error.to_string()))?;
        let mut response = self.agent.run(request).map_err(unreachable)?;
        let status = response.status().as_u16();
        let text = response.body_mut().read_to_string().map_err(unreachable)?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if (200..300).contains(&status) {
            return Ok(value);
        }
        let field = |name: &str| value[name].as_str().map(str::to_owned);
        let said =
            field("detail").or_else(|| field("title")).unwrap_or_else(|| format!("The server answered {status}."));
        let text = match field("advice") {
            Some(advice) => format!("{said} {advice}"),
            None => said,
        };
        Err(RestError::Refused { status, code: field("code").unwrap_or_default(), text })
    }

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> Result<T, RestError> {
        serde_json::from_value(value)
            .map_err(|error| RestError::Unreachable(format!("The server's answer cannot be read: {error}.")))
    }

    fn entered(&mut self, value: Value) -> Result<Login, RestError> {
        let login: Login = Self::read(value)?;
        self.token.clone_from(&login.access_token);
        Ok(login)
    }

    /// Makes an account.
    ///
    /// # Errors
    /// The server's refusal, or that it cannot be reached.
    pub fn signup(&mut self, user: &str, password: &str, device: Option<Uuid>) -> Result<Login, RestError> {
        let body = json!({ "username": user, "password": password, "device_id": device });
        let value = self.call("POST", "auth/signup", Some(&without_null(body)))?;
        self.entered(value)
    }

    /// Signs in.
    ///
    /// # Errors
    /// The server's refusal, or that it cannot be reached.
    pub fn login(&mut self, user: &str, password: &str, device: Option<Uuid>) -> Result<Login, RestError> {
        let body = json!({ "username": user, "password": password, "device_id": device });
        let value = self.call("POST", "auth/login", Some(&without_null(body)))?;
        self.entered(value)
    }

    /// Gets a new access token; the refresh token is used up.
    ///
    /// # Errors
    /// The server's refusal, or that it cannot be reached.
    pub fn refresh(&mut self, refresh_token: &str) -> Result<Login, RestError> {
        let value = self.call("POST", "auth/refresh", Some(&json!({ "refresh_token": refresh_token })))?;
        self.entered(value)
    }

    /// All rooms one may see.
    ///
    /// # Errors
    /// The server's refusal, or that it cannot be reached.
    pub fn rooms(&self) -> Result<Vec<Entry>, RestError> {
        self.pages("chat/rooms?", "rooms")
    }

    /// Who is in a room, with names.
    ///
    /// # Errors
    /// The server's refusal, or that it cannot be reached.
    pub fn participants(&self, room: Uuid) -> Result<Vec<Participant>, RestError> {
        self.pages(&format!("chat/rooms/{room}/participants?"), "participants")
    }

    fn pages<T: serde::de::DeserializeOwned>(&self, path: &str, key: &str) -> Result<Vec<T>, RestError> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        for _ in 0..PAGES_MAX {
            let next = if cursor.is_empty() { String::new() } else { format!("&cursor={}", escaped(&cursor)) };
            let mut page = self.call("GET", &format!("{path}limit=100{next}"), None)?;
            all.extend(Self::read::<Vec<T>>(page[key].take())?);
            match page["cursor"].as_str() {
                Some(further) if !further.is_empty() => further.clone_into(&mut cursor),
                _ => break,
            }
        }
        Ok(all)
    }

    /// Makes a room and answers it. `members` are users' ids.
    ///
    /// # Errors
    /// The server's refusal, or that it cannot be reached.
    pub fn create(&self, kind: &str, name: Option<&str>, members: &[Uuid]) -> Result<Entry, RestError> {
        let body = match name {
            Some(name) => json!({ "type": kind, "name": name, "members": members }),
            None => json!({ "type": kind, "members": members }),
        };
        Self::read(self.call("POST", "chat/rooms", Some(&body))?)
    }

    /// The user with this name.
    ///
    /// # Errors
    /// The server's refusal, or that it cannot be reached.
    pub fn user(&self, name: &str) -> Result<Option<User>, RestError> {
        let mut page = self.call("GET", &format!("users?query={}", escaped(name)), None)?;
        let users: Vec<User> = Self::read(page["users"].take())?;
        Ok(users.into_iter().find(|user| user.username.to_lowercase() == name.to_lowercase()))
    }
}

/// Somebody in a room.
#[derive(Clone, Debug, Deserialize)]
pub struct Participant {
    /// Who.
    #[serde(flatten)]
    pub user: User,
    /// With which role.
    #[serde(default)]
    pub role: String,
    /// `online`, `away`, `offline`.
    #[serde(default)]
    pub status: String,
}

fn without_null(mut body: Value) -> Value {
    if let Some(map) = body.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    body
}

/// A value in a query (RFC 3986: everything but unreserved characters as `%XX`).
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0').to_ascii_uppercase();
            out.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    out
}

/// What went wrong, without the names of layers.
#[must_use]
pub fn plain(error: &ureq::Error) -> String {
    if let ureq::Error::Io(inner) = error { inner.to_string() } else { error.to_string() }
}

/// TLS below ureq with our own configuration, which ureq's own connector does not take.
#[derive(Debug)]
struct Tls(Arc<ClientConfig>);

impl<In: Transport> Connector<In> for Tls {
    type Out = TlsTransport;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<TlsTransport>, ureq::Error> {
        let Some(below) = chained else { return Ok(None) };
        let host = details.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let name =
            ServerName::try_from(host.to_owned()).map_err(|_| ureq::Error::Tls("this is no name of a server"))?;
        let mut tls = ClientConnection::new(Arc::clone(&self.0), name).map_err(std::io::Error::other)?;
        let mut socket = TransportAdapter::new(below.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        tls.complete_io(&mut socket)?;
        let buffers = LazyBuffers::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        Ok(Some(TlsTransport { buffers, stream: StreamOwned::new(tls, socket) }))
    }
}

struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = &self.buffers.output()[..amount];
        self.stream.write_all(output)?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = self.stream.read(input)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}
