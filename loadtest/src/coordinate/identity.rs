//! Who is who, from one word that both sides know: the coordinator's certificate follows from the key, so a worker that has the key
//! has the certificate, too, and believes no other. The worker shows the key once the line is encrypted.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::digest;
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ServerConfig};

use crate::tls::Trust;
use crate::{Context as _, Failure};

/// A key that is given must be as hard to guess as this many random characters.
const KEY_MIN: usize = 20;
/// What stands before the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410, 7).
const PKCS8_ED25519: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// A fresh key, in characters that need no quotes anywhere.
pub(super) fn fresh_key() -> Result<String, Failure> {
    let mut bytes = [0; 18];
    SystemRandom::new().fill(&mut bytes).context("making a key")?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

/// Refuses what is easily guessed.
pub(super) fn checked(key: &str) -> Result<(), Failure> {
    if key.len() < KEY_MIN {
        return Err(Failure::new("--key", format!("at least {KEY_MIN} characters; without it a fresh one is made")));
    }
    Ok(())
}

/// TLS of the coordinator.
pub(super) fn server(key: &str) -> Result<Arc<ServerConfig>, Failure> {
    let (certificate, pair) = made_from(key)?;
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("choosing TLS versions")?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], pair)
        .context("using the key's certificate")?;
    Ok(Arc::new(config))
}

/// TLS of a worker: nobody but who has the key is believed.
pub(super) fn client(key: &str) -> Result<Arc<ClientConfig>, Failure> {
    Trust::Pinned(vec![made_from(key)?.0]).config()
}

/// Whether a worker showed the right key; takes as long for a wrong one.
pub(super) fn same(key: &str, shown: &str) -> bool {
    let of = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    of(key).as_ref() == of(shown).as_ref()
}

/// Always the same pair for the same key: nothing in an Ed25519 certificate is left to chance.
fn made_from(key: &str) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), Failure> {
    let seed = digest::digest(&digest::SHA256, format!("causerie-load coordinator\0{key}").as_bytes());
    let pkcs8 = [&PKCS8_ED25519[..], seed.as_ref()].concat();
    let what = "making the key's certificate";
    let pair = rcgen::KeyPair::try_from(&pkcs8[..]).context(what)?;
    let parameters = rcgen::CertificateParams::new(vec!["coordinator".to_owned()]).context(what)?;
    let certificate = parameters.self_signed(&pair).context(what)?;
    Ok((certificate.der().clone(), PrivateKeyDer::Pkcs8(pkcs8.into())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_decides_the_certificate() {
        let of = |key: &str| made_from(key).unwrap().0;
        assert_eq!(of("one key"), of("one key"));
        assert_ne!(of("one key"), of("another key"));
        assert!(server("one key").is_ok() && client("one key").is_ok());
    }

    #[test]
    fn keys_are_fresh_and_short_ones_are_refused() {
        let (one, two) = (fresh_key().unwrap(), fresh_key().unwrap());
        assert_ne!(one, two);
        assert!(checked(&one).is_ok() && checked("12345").is_err());
        assert!(same(&one, &one.clone()) && !same(&one, &two));
    }
}
