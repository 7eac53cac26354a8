//! The accounts of requests: each has a token of its own, so that the audit log distinguishes them.

use cluster::NAMESPACE;
use kube::Config;
use kube::config::AuthInfo;

/// Groups of every service account of the chart.
const SERVICE_ACCOUNTS: &str =
    "system:serviceaccounts,system:serviceaccounts:seccomp-profile,system:authenticated";

/// Where the API server puts the node that a pod's token is bound to.
const NODE_NAME: &str = "impersonate-extra-authentication.kubernetes.io%2fnode-name";

/// Replicas of each program that have a token.
const REPLICAS: usize = 3;

/// An account with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Account {
    /// May do everything, and impersonate every account.
    Admin,
    /// The service account of the chart's operator; the number (from 0) tells replicas apart in the audit log.
    Operator(usize),
    /// The service account of the chart's gate; the number (from 0) tells replicas apart in the audit log.
    Gate(usize),
    /// The service account of the chart's admission webhook; the number (from 0) tells replicas apart in the audit log.
    Admission(usize),
}

impl Account {
    /// The `uid` that the API server gives to this account; the audit log shows it.
    #[must_use]
    pub fn uid(self) -> String {
        match self {
            Account::Admin => "admin".to_owned(),
            Account::Operator(number) => format!("operator-{number}"),
            Account::Gate(number) => format!("gate-{number}"),
            Account::Admission(number) => format!("admission-{number}"),
        }
    }

    pub(super) fn token(self) -> String {
        // No secret: the server listens on loopback, for one test.
        format!("{}-token", self.uid())
    }
}

/// The name of one of the chart's service accounts.
pub(super) fn service_account(component: &str) -> String {
    format!("system:serviceaccount:{NAMESPACE}:{NAMESPACE}-{component}")
}

/// The API server's list of tokens.
pub(super) fn tokens() -> String {
    let mut lines = format!("{},admin,admin,\"system:masters\"\n", Account::Admin.token());
    let of_replica = |number| {
        [
            ("operator", Account::Operator(number)),
            ("gate", Account::Gate(number)),
            ("admission", Account::Admission(number)),
        ]
    };
    for (component, account) in (0..REPLICAS).flat_map(of_replica) {
        let (token, uid) = (account.token(), account.uid());
        lines.push_str(&format!("{token},{},{uid},\"{SERVICE_ACCOUNTS}\"\n", service_account(component)));
    }
    lines
}

/// Makes requests of `config`, which is the admin's, those of the agent on `node`, as its pod's token would: with the
/// account's groups and the name of the node, on which the chart's policy rests.
#[must_use]
pub fn agent_of(node: &str, mut config: Config) -> Config {
    config.auth_info = AuthInfo {
        impersonate: Some(service_account("node-agent")),
        impersonate_groups: Some(SERVICE_ACCOUNTS.split(',').map(str::to_owned).collect()),
        ..config.auth_info
    };
    if let Ok(value) = node.parse() {
        config.headers.push((http::HeaderName::from_static(NODE_NAME), value));
    }
    config
}
