//! A server for the transport's tests: real listeners on real sockets, with a shard behind them that does what the test says.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use causerie::auth::Claims;
use causerie::base::{Close, Code, ConnId, Refusal, SessionId, ShardId, UserId, WallTime};
use causerie::metrics::counters::ShellCounters;
use causerie::net::upgrade::Authenticating;
use causerie::net::{Admission, Authenticator, CertSource, Certs, Settings, ShardContext, Site};
use causerie::runtime::gate::Gate;
use causerie::runtime::port::{Port, Sent, Socket};
use causerie::runtime::portions::Portions;
use causerie::shard::Opened;
use glommio::{Latency, LocalExecutorBuilder, Placement, Shares};
use uuid::Uuid;

/// How long a test waits for what must come, before it is called a hang.
pub const WATCHDOG: Duration = Duration::from_mins(1);

/// What the shard was told.
#[derive(Debug)]
pub enum Told {
    Opened(ConnId, Opened),
    Text(ConnId, String),
    Heard,
    Writable(ConnId),
    Gone(ConnId, &'static str),
    /// Answer to [`Do::Send`].
    Sent(Sent),
}

/// What the shard shall do.
pub enum Do {
    Send(ConnId, Vec<u8>),
    Close(ConnId, Close),
}

#[derive(Default)]
struct Sockets {
    open: Vec<Option<Rc<dyn Socket>>>,
}

struct TestPort {
    told: Sender<Told>,
    sockets: Rc<RefCell<Sockets>>,
    behind: Arc<AtomicBool>,
    refuse: Arc<Mutex<Option<Close>>>,
    count: Cell<u32>,
}

impl Port for TestPort {
    fn open(&self, opened: Opened, socket: Rc<dyn Socket>) -> Result<ConnId, Close> {
        if let Some(code) = *self.refuse.lock().unwrap() {
            return Err(code);
        }
        let id = ConnId { shard: ShardId(0), index: self.count.replace(self.count.get() + 1), generation: 0 };
        self.sockets.borrow_mut().open.push(Some(socket));
        let _ = self.told.send(Told::Opened(id, opened));
        Ok(id)
    }

    fn text(&self, conn: ConnId, text: String) -> bool {
        let _ = self.told.send(Told::Text(conn, text));
        !self.behind.load(Ordering::SeqCst)
    }

    fn heard(&self, _conn: ConnId) {
        let _ = self.told.send(Told::Heard);
    }

    fn writable(&self, conn: ConnId) {
        let _ = self.told.send(Told::Writable(conn));
    }

    fn gone(&self, conn: ConnId, why: &'static str) {
        self.sockets.borrow_mut().open[conn.index as usize] = None;
        let _ = self.told.send(Told::Gone(conn, why));
    }

    fn caught_up(&self) -> Pin<Box<dyn Future<Output = ()>>> {
        let behind = Arc::clone(&self.behind);
        Box::pin(async move {
            while behind.load(Ordering::SeqCst) {
                glommio::timer::sleep(Duration::from_millis(5)).await;
            }
        })
    }
}

/// Knows one token: `good`.
struct OneToken;

pub const USER: UserId = UserId(Uuid::from_u128(7));

impl Authenticator for OneToken {
    fn authenticate<'a>(&'a self, token: &'a str) -> Authenticating<'a> {
        Box::pin(async move {
            if token != "good" {
                return Err(Refusal::new(Code::NotAuthenticated));
            }
            Ok(Claims {
                user: USER,
                session: SessionId(Uuid::from_u128(8)),
                device: None,
                issued_at: WallTime(0),
                expires_at: WallTime(u64::MAX),
                external: None,
            })
        })
    }
}

pub struct Options {
    pub settings: Settings,
    pub router: axum::Router,
    pub admission: Admission,
    /// Listeners on ports of their own, each on its own executor, with one certificate and one site.
    pub ports: usize,
    /// See [`Portions::new`].
    pub handshake_us: u64,
    /// No second portion is opened before this is set.
    pub open: Arc<AtomicBool>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            settings: Settings { echo: true, ..Settings::default() },
            router: axum::Router::new(),
            admission: Admission::new(1000, 1000),
            ports: 1,
            // Less than a handshake takes: each waits for the next portion, and all for each other.
            handshake_us: 50,
            open: Arc::new(AtomicBool::new(true)),
        }
    }
}

pub struct Server {
    pub addresses: Vec<SocketAddr>,
    pub certs: Certs,
    pub admission: Admission,
    told: Mutex<Receiver<Told>>,
    orders: Vec<Sender<Do>>,
    behind: Arc<AtomicBool>,
    pub refuse: Arc<Mutex<Option<Close>>>,
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
    _dir: tempfile::TempDir,
}

impl Server {
    pub fn start(options: Options) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let certs = Certs::load(CertSource::SelfSigned { dir: dir.path().to_owned() }).unwrap();
        Self::start_with(options, certs, dir)
    }

    pub fn start_with(options: Options, certs: Certs, dir: tempfile::TempDir) -> Self {
        let site = Site {
            settings: Arc::new(options.settings),
            certs: certs.clone(),
            router: options.router,
            admission: options.admission.clone(),
            sockets: Some(Arc::new(OneToken)),
        };
        let (tell, told) = channel();
        let behind = Arc::new(AtomicBool::new(false));
        let refuse = Arc::new(Mutex::new(None));
        let stop = Arc::new(AtomicBool::new(false));
        let (mut addresses, mut orders, mut threads) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..options.ports {
            let bound = causerie::net::bind("127.0.0.1:0".parse().unwrap(), 1).unwrap().remove(0);
            addresses.push(bound.address());
            let (order, ordered) = channel();
            orders.push(order);
            let open = Arc::clone(&options.open);
            let (site, tell, behind, refuse, stop) =
                (site.clone(), tell.clone(), Arc::clone(&behind), Arc::clone(&refuse), Arc::clone(&stop));
            let executor = LocalExecutorBuilder::new(Placement::Unbound).io_memory(1 << 20).name(&format!("test-{n}"));
            let thread = executor.spawn(move || async move {
                let sockets = Rc::new(RefCell::new(Sockets::default()));
                let port = Rc::new(TestPort {
                    told: tell.clone(),
                    sockets: Rc::clone(&sockets),
                    behind,
                    refuse,
                    count: Cell::new(0),
                });
                let queue =
                    |name| glommio::executor().create_task_queue(Shares::Static(100), Latency::NotImportant, name);
                let gate = Gate::default();
                let counters = Rc::new(RefCell::new(ShellCounters::default()));
                let portions = Portions::new(options.handshake_us, Rc::clone(&counters));
                let shard = ShardContext {
                    port,
                    sockets: queue("sockets"),
                    requests: queue("requests"),
                    portions: Rc::clone(&portions),
                    gate: gate.clone(),
                    hold: None,
                    counters,
                };
                let requests = shard.requests;
                let opening = async move {
                    while !open.load(Ordering::SeqCst) {
                        glommio::timer::sleep(Duration::from_millis(2)).await;
                    }
                    portions.open().await;
                };
                glommio::spawn_local_into(opening, shard.sockets).unwrap().detach();
                let serving = glommio::spawn_local_into(causerie::net::serve(bound, site, shard), requests).unwrap();
                while !stop.load(Ordering::SeqCst) {
                    while let Ok(order) = ordered.try_recv() {
                        let socket = |id: ConnId| sockets.borrow().open[id.index as usize].clone();
                        match order {
                            Do::Send(id, bytes) => {
                                if let Some(socket) = socket(id) {
                                    let _ = tell.send(Told::Sent(socket.send(&bytes)));
                                }
                            }
                            Do::Close(id, code) => {
                                if let Some(socket) = socket(id) {
                                    socket.close(code);
                                }
                            }
                        }
                    }
                    glommio::timer::sleep(Duration::from_millis(2)).await;
                }
                gate.close();
                serving.await;
            });
            threads.push(std::thread::spawn(move || thread.unwrap().join().unwrap()));
        }
        Self {
            addresses,
            certs,
            admission: options.admission,
            told: Mutex::new(told),
            orders,
            behind,
            refuse,
            stop,
            threads,
            _dir: dir,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.addresses[0]
    }

    /// What the shard was told next, `Heard` aside.
    pub fn told(&self) -> Told {
        loop {
            match self.told.lock().unwrap().recv_timeout(WATCHDOG).expect("the shard must be told something") {
                Told::Heard => {}
                told => return told,
            }
        }
    }

    /// Whether the shard was told anything but `Heard` within this time.
    pub fn told_within(&self, time: Duration) -> Option<Told> {
        let until = std::time::Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            match self.told.lock().unwrap().recv_timeout(left) {
                Ok(Told::Heard) => {}
                Ok(told) => return Some(told),
                Err(_) => return None,
            }
        }
    }

    pub fn heard(&self) {
        assert!(matches!(self.told.lock().unwrap().recv_timeout(WATCHDOG), Ok(Told::Heard)));
    }

    pub fn opened(&self) -> (ConnId, Opened) {
        match self.told() {
            Told::Opened(id, opened) => (id, opened),
            other => panic!("{other:?}"),
        }
    }

    pub fn order(&self, order: Do) {
        self.orders[0].send(order).unwrap();
    }

    pub fn set_behind(&self, behind: bool) {
        self.behind.store(behind, Ordering::SeqCst);
    }

    pub fn stop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
