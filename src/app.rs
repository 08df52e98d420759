//! Joins all parts: settings in, a running server, and the end of it. Nothing else knows them all.

#[cfg(feature = "scylla")]
pub mod moving;
#[cfg(feature = "scylla")]
pub mod scylla;
mod stores;

use std::io::Write as _;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use crate::auth::{account, token};
use crate::base::ShardId;
use crate::config::Settings;
use crate::config::settings::{AuthMode, MasterKey, Signup};
use crate::keys::{CurrentSigner, Keeper, KeySet, KeysError, Source};
use crate::metrics::process::Process;
use crate::net::rest::{self, Keys, Ready, RestState};
use crate::net::web::pack::{Pack, PackProblem};
use crate::net::{self, Admission, Bound, CertProblem, CertSource, Certs, Site, TokenAuthenticator};
use crate::runtime::clock::Clock;
use crate::runtime::doctor;
use crate::runtime::drain::{DrainSettings, Signals, serve_until_signal};
use crate::runtime::gateway::Gateway;
use crate::runtime::launch::{LaunchError, LaunchSettings, Parts, Pinning, ShardHandle, Work, launch};
use crate::shard::{NameKeys, Placement, Setup, Shard};
use crate::store::driver::DriverNumbers;
use crate::store::embedded::{EmbeddedSettings, MasterKeySource};
use crate::store::{Backend, Failure};
use crate::welcome;

use self::stores::StoreHandle;

/// Why the server could not start, or ended other than it should.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The data directory cannot be made.
    #[error("data.dir {}: {cause}", .dir.display())]
    DataDir {
        /// Which.
        dir: std::path::PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// The store cannot be opened.
    #[error("store: {0}")]
    Store(#[from] Failure),
    /// The store is a copy that was never finished: much is missing in it.
    #[error(
        "the data are an unfinished copy of {0}: give `causerie copy` again until it says that it is done, or start with the old data"
    )]
    Unfinished(String),
    /// Another server owns the rooms now.
    #[error("another server has taken over the rooms of this one, whose lease had ended; see the log")]
    Lost,
    /// Nothing was copied, or not all.
    #[error(transparent)]
    Copy(#[from] crate::store::copy::CopyError),
    /// Token keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Certificate and key.
    #[error(transparent)]
    Certificate(#[from] CertProblem),
    /// The web client in the binary.
    #[error(transparent)]
    Web(#[from] PackProblem),
    /// The shards.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// A socket, a thread, a signal.
    #[error("{0}")]
    System(#[from] std::io::Error),
    /// This machine lacks something: says what, and the command that mends it.
    #[error("this machine is not ready:\n{0}\n`causerie doctor` shows all of it")]
    Machine(String),
}

/// Token keys are looked at this often (files, an address, rotation).
const KEYS_EVERY: Duration = Duration::from_mins(1);
const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Old messages are looked for this often.
const RETENTION_SWEEP_MS: u64 = 60 * 60 * 1000;

/// What is shared by all shards once the gateway is there.
struct Sites {
    public: Site,
    operators: Site,
}

/// Runs the server until it is told to stop. `web` is the pack of the web client ([`net::web::pack`]), empty if there is none.
///
/// # Errors
/// See [`AppError`].
pub fn run(
    settings: &Settings,
    dropped_log_lines: Box<dyn Fn() -> u64 + Send + Sync>,
    web: &'static [u8],
) -> Result<(), AppError> {
    token::install_provider();
    let web = net::web::Client::from(Pack::read(web)?);
    // Also the process' default, for what makes a client of its own (key sets by URL). Set once; a second time changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let shards = shard_count(settings);
    if let Some(problems) = doctor::refusal(&findings(settings)) {
        return Err(AppError::Machine(problems));
    }
    doctor::raise_open_files();
    // For its owner only: keys and the names of people are in it.
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&settings.data_dir)
        .map_err(|cause| AppError::DataDir { dir: settings.data_dir.clone(), cause })?;
    let clock = Clock::start();

    // Before signals are taken over: who ends a server that waits for its store need not wait.
    let opened = stores::open(settings)?;
    let signals = Signals::listen()?;
    let stores::Opened { backend, handle: driver, lost } = opened;
    if let Some(origin) = crate::store::copy::unfinished(&*backend)? {
        return Err(AppError::Unfinished(origin));
    }
    let empty = no_users(&*backend)?;
    let source = Source::from_settings(&settings.auth, &settings.data_dir);
    let (keeper, first_keys) = Keeper::start(source, clock.now().wall)?;
    let certs = Certs::load(match &settings.tls.files {
        Some((cert, key)) => CertSource::Files { cert: cert.clone(), key: key.clone() },
        None => CertSource::SelfSigned { dir: settings.data_dir.clone() },
    })?;

    let public = net::bind(settings.server.listen, usize::from(shards))?;
    let operators = net::bind(settings.server.admin_listen, 1)?;
    let address = |bound: &[Bound]| bound.first().map(Bound::address);
    let (listen, admin_listen) = (address(&public), address(&operators));

    let keys = Keys::new(first_keys.verifier.clone());
    let signer = CurrentSigner::new(first_keys.signer.clone());
    let ready = Ready::default();
    let placement = Placement::even(shards);

    let machine = {
        let (placement, limits, backend) = (placement.clone(), settings.limits.clone(), backend.clone());
        let (verifier, retention_days) = (first_keys.verifier.clone(), settings.retention_days);
        move |id: ShardId, now| {
            let names = backend.clone();
            let setup = Setup {
                id,
                placement: placement.clone(),
                limits: limits.clone(),
                verifier: verifier.clone(),
                name_keys: NameKeys(Arc::new(move |kind, name| names.name_key(kind, name))),
                retention_days,
                retention_sweep_ms: RETENTION_SWEEP_MS,
                seed: now_seed(now),
            };
            Shard::new(setup, now)
        }
    };

    let start = {
        let public = Mutex::new(public.into_iter().map(Some).collect::<Vec<_>>());
        let operators = Mutex::new(operators.into_iter().next());
        let sites: Arc<OnceLock<Sites>> = Arc::default();
        let make = SiteMaker {
            settings: settings.clone(),
            certs: certs.clone(),
            keys: keys.clone(),
            signer: signer.clone(),
            ready: ready.clone(),
            driver: driver.clone(),
            dropped_log_lines: dropped_log_lines.into(),
            web,
        };
        move |shard: ShardHandle| {
            let sites = sites.get_or_init(|| make.sites(&shard.gateway));
            if let Some(bound) = locked(&public).get_mut(shard.id.index()).and_then(Option::take) {
                shard.spawn(Work::Handshake, net::serve(bound, sites.public.clone(), (&shard).into()));
            }
            if shard.id.index() == 0
                && let Some(bound) = locked(&operators).take()
            {
                shard.spawn(Work::Handshake, net::serve(bound, sites.operators.clone(), (&shard).into()));
            }
            std::future::ready(Ok(()))
        }
    };

    let launch_settings = LaunchSettings {
        pinning: pinning(settings),
        stall_ms: settings.runtime.stall_ms,
        spin_us: settings.runtime.spin_us,
        pace_ms: settings.runtime.pace_ms,
        send_batch: settings.runtime.send_batch,
        handshake_us: settings.runtime.handshake_us,
        pool_threads: settings.runtime.blocking_threads,
        ..LaunchSettings::default()
    };
    let parts = Parts { placement, store: Arc::new(driver), backend: backend.clone(), clock };
    let server = launch(&launch_settings, parts, machine, start)?;
    ready.set(true);

    if let (Some(listen), Some(admin_listen)) = (listen, admin_listen) {
        let fingerprint = certs.self_signed().then(|| certs.fingerprint());
        let about = welcome::Welcome {
            listen,
            admin_listen,
            fingerprint: fingerprint.as_deref(),
            data_dir: &settings.data_dir,
            shards,
            empty: empty && matches!(settings.auth.mode, AuthMode::Builtin),
        };
        // A terminal that is gone can be told nothing.
        let _ = std::io::stderr().write_all(welcome::text(&about).as_bytes());
    }

    let keeper = Arc::new(Mutex::new(keeper));
    let turn_keys = {
        let (gateway, keeper) = (server.gateway().clone(), keeper);
        move |at_once: bool| {
            let changed = locked(&keeper).refresh(gateway.now().wall, at_once);
            if let Some(KeySet { verifier, signer: new_signer }) = changed {
                // Everybody can check before anybody signs.
                gateway.set_keys(&verifier);
                keys.set(verifier);
                signer.set(new_signer);
            }
        }
    };
    let by_time = turn_keys.clone();
    std::thread::Builder::new().name("keys".to_owned()).spawn(move || {
        loop {
            std::thread::sleep(KEYS_EVERY);
            by_time(false);
        }
    })?;
    let drain = DrainSettings { window_ms: settings.drain.window_ms, deadline_ms: settings.drain.deadline_ms };
    let draining = ready.clone();
    serve_until_signal(
        &server,
        signals,
        drain,
        || match certs.reload() {
            Ok(fingerprint) => {
                tracing::info!(%fingerprint, "the certificate was loaded anew");
                turn_keys(true);
            }
            Err(problem) => {
                tracing::error!(%problem, "the certificate was not loaded; the old one stays");
                turn_keys(true);
            }
        },
        move || draining.set(false),
    )?;
    // Others still hold it (routes, the thread of the keys), so it would not be closed by being dropped.
    backend.close();
    if lost.load(Ordering::Acquire) { Err(AppError::Lost) } else { Ok(()) }
}

/// Makes what answers requests, once the gateway is there.
struct SiteMaker {
    settings: Settings,
    certs: Certs,
    keys: Keys,
    signer: CurrentSigner,
    ready: Ready,
    driver: StoreHandle,
    dropped_log_lines: Arc<dyn Fn() -> u64 + Send + Sync>,
    web: net::web::Client,
}

impl SiteMaker {
    fn sites(&self, gateway: &Gateway) -> Sites {
        let settings = &self.settings;
        let net_settings = net::Settings {
            handshakes_per_shard: settings.limits.handshakes_per_shard,
            handshake_time: Duration::from_millis(settings.timeouts.handshake_ms),
            head_time: Duration::from_millis(settings.timeouts.head_ms),
            request_time: Duration::from_millis(settings.timeouts.body_ms),
            idle_time: Duration::from_millis(settings.timeouts.idle_ms),
            origins: settings.server.origins.clone(),
            echo: settings.test.echo,
            ..net::Settings::default()
        };
        let state = RestState::new(rest::Shared {
            gateway: gateway.clone().into(),
            keys: self.keys.clone(),
            ready: self.ready.clone(),
            limits: settings.limits.clone(),
            auth: rest::auth::AuthState::new(
                self.signer.clone(),
                match settings.auth.signup {
                    Signup::Open => account::Signup::Open,
                    Signup::Invite => account::Signup::Invite,
                    Signup::Closed => account::Signup::Closed,
                },
                u64::from(settings.auth.refresh_token_days) * DAY_MS,
                settings.server.origins.clone(),
            ),
            turns: rest::state::Turns::default(),
        });
        let most = usize::try_from(settings.limits.connections).unwrap_or(usize::MAX);
        let public = Site {
            settings: Arc::new(net_settings.clone()),
            certs: self.certs.clone(),
            router: rest::router(state, self.web.clone()),
            admission: Admission::new(most, settings.limits.connections_per_address),
            sockets: Some(Arc::new(TokenAuthenticator::new(self.keys.clone(), gateway.clone().into()))),
        };
        let ready = self.ready.clone();
        let (gateway, driver, dropped) = (gateway.clone(), self.driver.clone(), Arc::clone(&self.dropped_log_lines));
        let admission = public.admission.clone();
        let (limits, certs) = (settings.limits.clone(), self.certs.clone());
        let page = move || {
            let (gateway, driver, dropped) = (gateway.clone(), driver.clone(), Arc::clone(&dropped));
            let (admission, limits, certs) = (admission.clone(), limits.clone(), certs.clone());
            async move {
                let shards = gateway.metrics().await;
                let store: DriverNumbers = driver.numbers();
                crate::metrics::expose::render(&crate::metrics::expose::Numbers {
                    shards: &shards,
                    process: Process::read(),
                    log_lines_dropped: dropped(),
                    admission_refused: admission.refused(),
                    pool_waiting: gateway.shared_figures().pool_waiting as u64,
                    connections_limit: u64::from(limits.connections),
                    outbox_budget_bytes: limits.outbox_budget_bytes as u64,
                    certificate_ends: certs.ends(),
                    store: Some(&store),
                })
            }
        };
        let router = net::operators::router(move || ready.get(), page);
        Sites { public, operators: net::admin::site(router, self.certs.clone(), &net_settings) }
    }
}

fn embedded_settings(settings: &Settings) -> EmbeddedSettings {
    EmbeddedSettings { cache_bytes: settings.store.cache_bytes, ..EmbeddedSettings::default() }
}

/// Where the master key comes from.
#[must_use]
pub fn master_key(settings: &Settings) -> MasterKeySource {
    match &settings.master_key {
        MasterKey::DataDir => MasterKeySource::DataDir,
        MasterKey::File(path) => MasterKeySource::File(path.clone()),
        MasterKey::Environment(name) => MasterKeySource::Environment(name.clone()),
        MasterKey::Command(command) => MasterKeySource::Command(command.clone()),
    }
}

fn no_users(backend: &dyn Backend) -> Result<bool, Failure> {
    let query = crate::store::Query::FindUsers { text: String::new(), after: None, limit: 1 };
    Ok(matches!(backend.read(&query)?, crate::store::Answer::Found(users) if users.is_empty()))
}

fn pinning(settings: &Settings) -> Pinning {
    if settings.server.cores.is_empty() { Pinning::Auto } else { Pinning::Cores(settings.server.cores.clone()) }
}

/// Whether this machine can carry a server with these settings (`causerie doctor`).
#[must_use]
pub fn findings(settings: &Settings) -> Vec<doctor::Finding> {
    doctor::checks(&doctor::DoctorInput {
        shards: shard_count(settings),
        pinning: pinning(settings),
        connections: u64::from(settings.limits.connections),
    })
}

fn shard_count(settings: &Settings) -> u16 {
    let cores =
        if settings.server.cores.is_empty() { doctor::usable_cores().len() } else { settings.server.cores.len() };
    settings.server.shards.unwrap_or_else(|| u16::try_from(cores).unwrap_or(u16::MAX)).max(1)
}

/// Jitter only has to differ from start to start.
fn now_seed(now: crate::base::time::Now) -> u64 {
    now.wall.0 ^ u64::from(std::process::id()) << 32
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
