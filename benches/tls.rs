//! TLS 1.3 as `net::tls` does it over rustls' unbuffered API: sealing what leaves and opening what comes; the other end is in memory.

use std::io::{Read as _, Write as _};
use std::sync::Arc;

use causerie::net::tls::Tls;
use causerie::net::{CertSource, Certs};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore};

use crate::meter::{Meter, Res, Round, Subject, ensure};

const fn subject(name: &'static str, unit: &'static str, rounds_max: u32, make: fn() -> Res<Round>) -> Subject {
    Subject { name, unit, rounds_max, counted: true, make }
}

pub const ALL: &[Subject] = &[
    subject("tls/seal 390 bytes", "record", 100_000, || seal(390)),
    subject("tls/seal 3,120 bytes", "record", 100_000, || seal(3120)),
    subject("tls/open 250 bytes", "record", 100_000, || open(250)),
];

/// Two ends after their handshake. Its keys are of chance, so the handshake itself is not counted.
struct Pair {
    client: ClientConnection,
    server: Tls,
    _dir: tempfile::TempDir,
}

impl Pair {
    fn new() -> Res<Self> {
        let dir = tempfile::tempdir()?;
        let certs = Certs::load(CertSource::SelfSigned { dir: dir.path().to_owned() })?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certs.cert_path())?)?;
        let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let client = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
        let mut pair = Self { client, server: Tls::new(certs.server_config())?, _dir: dir };
        let (mut plain, mut down) = (Vec::new(), Vec::new());
        loop {
            let mut up = pair.client_says()?;
            pair.server.feed(&mut up, &mut plain, &mut down)?;
            if up.is_empty() && down.is_empty() {
                break;
            }
            pair.give_client(&std::mem::take(&mut down))?;
        }
        ensure(pair.server.established() && !pair.client.is_handshaking(), || "no handshake".to_owned())?;
        Ok(pair)
    }

    fn client_says(&mut self) -> Res<Vec<u8>> {
        let mut up = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut up)?;
        }
        Ok(up)
    }

    /// How many bytes the client could read.
    fn give_client(&mut self, mut sealed: &[u8]) -> Res<usize> {
        let (mut read, mut buffer) = (0, [0; 4096]);
        while !sealed.is_empty() {
            self.client.read_tls(&mut sealed)?;
            self.client.process_new_packets()?;
            while let Ok(n @ 1..) = self.client.reader().read(&mut buffer) {
                read += n;
            }
        }
        Ok(read)
    }
}

const EACH: usize = 50;

fn seal(bytes: usize) -> Res<Round> {
    let mut pair = Pair::new()?;
    let plain = vec![b'x'; bytes];
    let mut outs = vec![Vec::<u8>::new(); EACH];
    Ok(Box::new(move |meter: &mut Meter| {
        let server = &mut pair.server;
        let mut sealed = Ok(());
        meter.section(|| {
            for out in &mut outs {
                out.clear();
                sealed = server.seal(&plain, out);
            }
        });
        sealed?;
        let mut read = 0;
        for out in &outs {
            read += pair.give_client(out)?;
        }
        ensure(read == bytes * EACH, || format!("the client read {read} bytes of {}", bytes * EACH))?;
        Ok(EACH as u64)
    }))
}

fn open(bytes: usize) -> Res<Round> {
    let mut pair = Pair::new()?;
    let (mut plain, mut out) = (Vec::with_capacity(bytes * EACH), Vec::new());
    Ok(Box::new(move |meter: &mut Meter| {
        let mut sealed = Vec::new();
        for _ in 0..EACH {
            pair.client.writer().write_all(&vec![b'x'; bytes])?;
            sealed.push(pair.client_says()?);
        }
        plain.clear();
        let mut fed = Ok(());
        meter.section(|| {
            for sealed in &mut sealed {
                fed = pair.server.feed(sealed, &mut plain, &mut out);
            }
        });
        fed?;
        ensure(plain.len() == bytes * EACH, || format!("{} bytes were read of {}", plain.len(), bytes * EACH))?;
        Ok(EACH as u64)
    }))
}
