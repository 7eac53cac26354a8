//! Options about the agents, which the operator and the gate have in common: the chart renders them from the values that
//! it renders into the agents' DaemonSet.

use std::collections::BTreeMap;

use api::Selection;
use clap::Args;
use k8s_openapi::api::core::v1::NodeSelector;

use crate::facts::AgentPods;

/// Which pods are agents, and which nodes have one.
#[derive(Debug, Clone, Args)]
pub struct AgentOptions {
    /// Labels of the agents' pods: `key=value,key=value`.
    #[arg(long, value_parser = labels, default_value = "app.kubernetes.io/component=node-agent")]
    pub agent_label_selector: Labels,
    /// The agents' node selector, as a JSON object of labels; every node where there is none.
    #[arg(long, value_parser = json::<Labels>, default_value = "{}")]
    pub node_selector: Labels,
    /// The agents' required node affinity, as JSON: `{"nodeSelectorTerms": [...]}`.
    #[arg(long, value_parser = json::<NodeSelector>)]
    pub node_affinity: Option<NodeSelector>,
}

/// Labels. (A name of its own, because clap takes a bare map for an option that may be repeated.)
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

impl AgentOptions {
    /// Which nodes have an agent.
    #[must_use]
    pub fn selection(&self) -> Selection {
        Selection { labels: self.node_selector.0.clone(), affinity: self.node_affinity.clone() }
    }

    /// Which pods are agents, of those in `namespace`.
    #[must_use]
    pub fn pods_in(&self, namespace: &str) -> AgentPods {
        AgentPods { namespace: namespace.to_owned(), labels: self.agent_label_selector.0.clone() }
    }
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
}

fn labels(text: &str) -> Result<Labels, String> {
    let pair = |pair: &str| match pair.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!("{pair:?} is not a label; expected key=value,key=value")),
    };
    text.split(',').map(pair).collect::<Result<_, _>>().map(Labels)
}
