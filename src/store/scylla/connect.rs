//! The way to the database: which nodes, which keyspace, who we are, how long is waited.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::policies::load_balancing::{NodeIdentifier, SingleTargetLoadBalancingPolicy};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use scylla::statement::{Consistency, SerialConsistency};

use super::cql::{Consistencies, Patience};
use super::driver::Bounds;
use super::tls;
use crate::store::Failure;

/// What may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScyllaSettings {
    /// `host:port` of nodes to ask first; the driver finds the others.
    pub nodes: Vec<String>,
    /// Where the tables are.
    pub keyspace: String,
    /// How often each row is kept: `3`, or by data centre `dc1:3,dc2:3`. Only used when the keyspace is made.
    pub replication: Replication,
    /// How many replicas must confirm or answer.
    pub consistency: ReadWrite,
    /// The same for some tables.
    pub table_consistency: Vec<(String, ReadWrite)>,
    /// User and password.
    pub login: Option<(String, String)>,
    /// Encryption on the way.
    pub tls: Option<TlsFiles>,
    /// A secure connection bundle, unpacked.
    pub bundle: Option<PathBuf>,
    /// Nodes of this data centre are asked.
    pub datacenter: Option<String>,
    /// One try of one statement.
    pub request_timeout: Duration,
    /// All tries of one statement.
    pub give_up: Duration,
    /// Statements under way at once.
    pub in_flight: usize,
    /// How long this process owns its slots after the last renewal.
    pub lease: Duration,
    /// What may wait.
    pub bounds: Bounds,
}

/// PEM files for the way to the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Who signed the database's certificates.
    pub ca: PathBuf,
    /// Our own certificate and its key.
    pub own: Option<(PathBuf, PathBuf)>,
}

/// How often rows are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Replication {
    /// So many times in every data centre.
    Everywhere(u8),
    /// By data centre.
    ByDatacenter(Vec<(String, u8)>),
}

/// How many replicas must confirm or answer. The two kinds of quorum are those that keep the store's promises with more than one replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // as CQL names them
pub enum ReadWrite {
    One,
    LocalOne,
    Quorum,
    LocalQuorum,
    EachQuorum,
    All,
}

impl Default for ScyllaSettings {
    fn default() -> Self {
        Self {
            nodes: Vec::new(),
            keyspace: "causerie".to_owned(),
            replication: Replication::Everywhere(3),
            consistency: ReadWrite::LocalQuorum,
            table_consistency: Vec::new(),
            login: None,
            tls: None,
            bundle: None,
            datacenter: None,
            request_timeout: Duration::from_secs(2),
            give_up: Duration::from_secs(4),
            in_flight: 512,
            lease: Duration::from_secs(10),
            bounds: Bounds::default(),
        }
    }
}

/// A change of the schema is no request like others: a busy node takes seconds for it.
const SCHEMA_TIMEOUT: Duration = Duration::from_mins(2);

fn consistency(wanted: ReadWrite) -> Consistency {
    match wanted {
        ReadWrite::One => Consistency::One,
        ReadWrite::LocalOne => Consistency::LocalOne,
        ReadWrite::Quorum => Consistency::Quorum,
        ReadWrite::LocalQuorum => Consistency::LocalQuorum,
        ReadWrite::EachQuorum => Consistency::EachQuorum,
        ReadWrite::All => Consistency::All,
    }
}

/// Whether a keyspace may be called so: what needs no quotes anywhere.
#[must_use]
pub fn is_keyspace_name(name: &str) -> bool {
    (1..=48).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

impl ScyllaSettings {
    pub(super) fn patience(&self) -> Patience {
        Patience { one: self.request_timeout, all: self.give_up }
    }

    pub(super) fn consistencies(&self) -> Consistencies {
        let local = matches!(self.consistency, ReadWrite::LocalOne | ReadWrite::LocalQuorum | ReadWrite::One);
        Consistencies {
            general: consistency(self.consistency),
            // Transactions are decided where the rest is: in one data centre, or over all.
            serial: if local { SerialConsistency::LocalSerial } else { SerialConsistency::Serial },
            of_table: self
                .table_consistency
                .iter()
                .map(|(table, wanted)| (table.clone(), consistency(*wanted)))
                .collect(),
        }
    }

    /// For reads: a second replica is asked when the first takes long. Writes go to all replicas anyway.
    pub(super) fn reading(&self) -> ExecutionProfileHandle {
        let again = SimpleSpeculativeExecutionPolicy { max_retry_count: 1, retry_interval: self.request_timeout / 8 };
        ExecutionProfile::builder()
            .consistency(consistency(self.consistency))
            .request_timeout(Some(self.request_timeout))
            .speculative_execution_policy(Some(Arc::new(again)))
            .build()
            .into_handle()
    }

    fn builder(&self, request_timeout: Duration) -> Result<SessionBuilder, Failure> {
        let profile = ExecutionProfile::builder()
            .consistency(consistency(self.consistency))
            .request_timeout(Some(request_timeout))
            .build();
        let mut builder = SessionBuilder::new()
            .known_nodes(&self.nodes)
            .default_execution_profile_handle(profile.into_handle())
            .connection_timeout(self.request_timeout.max(Duration::from_secs(2)))
            // Idle connections that were lost in silence are found out.
            .keepalive_interval(Duration::from_secs(5))
            .keepalive_timeout(Duration::from_secs(5))
            .tcp_nodelay(true)
            // Changes of the schema go to one node, which puts them in order; who needs all nodes to know it asks for it.
            .schema_agreement_interval(Duration::from_millis(20))
            .auto_await_schema_agreement(false);
        if let Some((user, password)) = &self.login {
            builder = builder.user(user, password);
        }
        if let Some(datacenter) = &self.datacenter {
            builder = builder.prefer_datacenter(datacenter.clone());
        }
        tls::encrypt(builder, self.tls.as_ref())
    }

    /// As the settings say, with what a bundle says instead where there is one.
    pub(super) fn unbundled(mut self) -> Result<Self, Failure> {
        if let Some(folder) = self.bundle.take() {
            let bundle = tls::Bundle::read(&folder)?;
            self.nodes = bundle.nodes;
            self.keyspace = bundle.keyspace.unwrap_or(self.keyspace);
            self.datacenter = self.datacenter.or(bundle.datacenter);
            self.login = self.login.or(bundle.login);
            self.tls = Some(bundle.tls);
        }
        Ok(self)
    }

    /// A session for statements that name the keyspace.
    pub(super) async fn connect(&self) -> Result<Session, Failure> {
        let session = self.builder(self.request_timeout)?.build().await;
        session.map_err(|e| self.unreachable(&e))
    }

    /// A session without a keyspace whose statements all go to one node, the same for everybody who can reach it: it puts changes of the schema
    /// in order.
    pub(super) async fn connect_to_one(&self) -> Result<Session, Failure> {
        let session = self.builder(SCHEMA_TIMEOUT)?.build().await.map_err(|e| self.unreachable(&e))?;
        let state = session.get_cluster_state();
        let reached = state.get_nodes_info().iter().filter(|node| node.is_connected());
        if let Some(one) = reached.min_by_key(|node| node.host_id) {
            let alone = ExecutionProfile::builder()
                .consistency(consistency(self.consistency))
                .request_timeout(Some(SCHEMA_TIMEOUT))
                .load_balancing_policy(SingleTargetLoadBalancingPolicy::new(NodeIdentifier::HostId(one.host_id), None))
                .build();
            session.get_default_execution_profile_handle().clone().map_to_another_profile(alone);
        }
        Ok(session)
    }

    /// Whether any node answers.
    pub(super) async fn reach(&self) -> Result<(), Failure> {
        self.connect_to_one().await.map(drop)
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> Failure {
        let error = error.to_string();
        let hint = hint(&error, self.tls.is_some()).map(|hint| format!(" ({hint})")).unwrap_or_default();
        Failure::Unavailable(format!("the database at {} cannot be used{hint}: {error}", self.nodes.join(", ")))
    }
}

/// What to look at, for the mistakes that people make. The driver hands on what it heard as text only.
fn hint(error: &str, tls: bool) -> Option<&'static str> {
    let known = [
        ("Authentication is required", "it wants a login: set store.scylla.user and store.scylla.password"),
        ("Authentication failed", "store.scylla.user or store.scylla.password is wrong"),
        ("CertificateRequired", "it wants to see our certificate: set store.scylla.tls_cert and store.scylla.tls_key"),
        ("UnknownIssuer", "store.scylla.tls_ca is not who signed its certificate"),
        ("NotValidForName", "its certificate does not name the address at which it is asked"),
        ("certificate: Expired", "its certificate is out of date"),
        ("InvalidContentType", "it does not speak TLS there: take store.scylla.tls_ca away, or name the port with TLS"),
    ];
    let found = known.iter().find(|(words, _)| error.contains(words)).map(|(_, hint)| *hint);
    let broken = !tls && error.contains("Connection broken");
    found.or(broken.then_some("if it wants TLS, set store.scylla.tls_ca"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_keyspaces_need_no_quotes() {
        for good in ["causerie", "c", "a_1", "test_9f"] {
            assert!(is_keyspace_name(good), "{good}");
        }
        for bad in ["", "1a", "_a", "Causerie", "a-b", "a;drop", "a\"", "ü", &"a".repeat(49)] {
            assert!(!is_keyspace_name(bad), "{bad}");
        }
    }
}
