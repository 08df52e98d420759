//! Where the server is, and who is believed to be it.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::Path;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::tls::Trust;
use crate::{Context as _, Failure};

/// A server's socket.
#[derive(Clone, Debug)]
pub struct Target {
    /// As it was given: `wss://host:port/path`.
    pub url: String,
    /// `host:port`.
    pub address: String,
    /// Path of the socket.
    pub path: String,
    /// How TLS is done; `None`: the target is `ws://`, in plain text.
    pub tls: Option<Arc<ClientConfig>>,
    /// Which certificate is believed.
    pub trust: Trust,
}

impl Target {
    /// A target from its URL. `certificate`: a PEM file, the only one that is believed; without it any is.
    ///
    /// # Errors
    /// When it is no `ws://` or `wss://` URL, or the file cannot be read.
    pub fn parse(url: &str, certificate: Option<&Path>) -> Result<Self, Failure> {
        let (tls, rest) = match (url.strip_prefix("wss://"), url.strip_prefix("ws://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(Failure::new(format!("--target {url}"), "it begins with wss:// or ws://")),
        };
        let (address, path) = rest.split_once('/').map_or((rest, "/".to_owned()), |(a, p)| (a, format!("/{p}")));
        let port = if tls { 443 } else { 80 };
        // The colons of an IPv6 address stand in brackets.
        let has_port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
        let address = if has_port { address.to_owned() } else { format!("{address}:{port}") };
        let trust = certificate.map_or(Ok(Trust::Any), Trust::file)?;
        let tls = if tls { Some(trust.clone().config()?) } else { None };
        Ok(Self { url: url.to_owned(), address, path, tls, trust })
    }

    /// The host without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.address.rsplit_once(':').map_or(&*self.address, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The addresses behind the name.
    ///
    /// # Errors
    /// When the name has none.
    pub fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        let what = format!("looking up {}", self.address);
        let all: Vec<SocketAddr> = self.address.to_socket_addrs().context(&what)?.collect();
        if all.is_empty() { Err(Failure::new(what, "the name has no address")) } else { Ok(all) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parse = |url: &str| Target::parse(url, None).map(|t| (t.address, t.path, t.tls.is_some()));
        assert_eq!(parse("wss://a:8443/ws/chat").ok(), Some(("a:8443".into(), "/ws/chat".into(), true)));
        assert_eq!(parse("ws://a").ok(), Some(("a:80".into(), "/".into(), false)));
        assert_eq!(parse("wss://[::1]/x").ok(), Some(("[::1]:443".into(), "/x".into(), true)));
        assert!(parse("https://a").is_err());
        assert_eq!(Target::parse("ws://[::1]:5/", None).map(|t| t.host().to_owned()).ok(), Some("::1".into()));
    }
}
