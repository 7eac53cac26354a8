//! Carries out the decisions about nodes and about reports without a node.

use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use tracing::{info, warn};

use super::{Context, LIST_UNDER_WAY, LISTED_BEFORE_KNOWN, Outcome};
use crate::facts::{ReportFacts, UpdateSource};
use crate::index::{Index, NodeOperation, WorkKey};
use crate::labels::WrittenKindLabel;
use crate::notice::Notice;
use crate::writer::WriteError;

/// Reconciles a node.
///
/// # Errors
/// A write did not happen.
pub(super) async fn reconcile(name: &str, context: &Context) -> Result<Outcome, WriteError> {
    let Context { shared, writer, .. } = context;
    let now = Timestamp::now();
    let decision = shared.change(|index| {
        index.advance_time(name, now);
        index.settle_exclusions(name);
        index.decide_node(name, now)
    });
    let Some(decision) = decision else { return Ok(Outcome::Done(None)) };
    let key = WorkKey::Node(name.to_owned());
    match decision.operation {
        NodeOperation::Nothing => {}
        NodeOperation::CreateReport { owner } => {
            let answer = writer.create_report(name, &owner).await?;
            shared.change(|index| index.apply_report(ReportFacts::of(answer), UpdateSource::Created, now));
        }
        NodeOperation::DeleteReport { version } => {
            context.bound(&key, &version, writer.delete_report(name, &version)).await?;
        }
        NodeOperation::ListPods { uid } => {
            // The answer for all that wait queues the node, or it asks again.
            let wait = match context.pod_lists.list(&uid).await? {
                Some(list) => {
                    let now = Timestamp::now();
                    let all_known =
                        shared.change(|index| index.pods_of_node_listed(name, &uid, list.users(), now));
                    (!all_known).then_some(LISTED_BEFORE_KNOWN)
                }
                None => Some(LIST_UNDER_WAY),
            };
            return Ok(Outcome::PodsListed(wait.map(|wait| Timestamp::now() + wait)));
        }
        NodeOperation::WriteExclusions { version, excluded } => {
            let write = writer.node_exclusions(name, &version, &excluded);
            let facts = ReportFacts::of(context.bound(&key, &version, write).await?);
            shared.change(|index| {
                if facts.excluded.len() < excluded.len() {
                    index.exclusions_dropped(name, now);
                }
                apply_answer(context, index, name, facts, now);
            });
            info!(node = name, profiles = excluded.len(), "profiles excluded from the node");
        }
        NodeOperation::WriteConditions { version, has_status, conditions, start_failures, notices } => {
            let failures = start_failures.as_deref();
            let write = writer.node_conditions(name, &version, has_status, &conditions, failures);
            let answer = context.bound(&key, &version, write).await?;
            shared.change(|index| {
                apply_answer(context, index, name, ReportFacts::of(answer), now);
                if let Some(failures) = failures {
                    index.start_failures_written(name, failures.len(), now);
                }
            });
            for Condition { type_, status, reason, .. } in &conditions {
                info!(node = name, condition = type_, status, reason, "node condition");
            }
            for notice in notices {
                writer.publish_about_node(name, &version, notice).await;
            }
        }
    }
    Ok(Outcome::Done(decision.requeue_at))
}

/// Applies the answer to a write of a node's object, which began at `now`, to the index.
fn apply_answer(context: &Context, index: &mut Index, name: &str, facts: ReportFacts, now: Timestamp) {
    let known = index.report_version(name);
    let lag = &context.shared.metrics.watch_lag;
    lag.written(WrittenKindLabel::Report, name, &facts.version, known, Instant::now(), None);
    index.apply_report(facts, UpdateSource::Answer, now);
}

/// Reconciles a report whose node does not exist.
///
/// # Errors
/// A write did not happen.
pub(super) async fn reconcile_orphan(name: &str, context: &Context) -> Result<Option<Timestamp>, WriteError> {
    let Context { shared, writer, .. } = context;
    let now = Timestamp::now();
    let Some(decision) = shared.change(|index| index.decide_orphan(name, now)) else { return Ok(None) };
    if let NodeOperation::DeleteReport { version } = decision.operation {
        let key = WorkKey::Orphan(name.to_owned());
        context.bound(&key, &version, writer.delete_report(name, &version)).await?;
        warn!(node = name, "report deleted: there is no such node");
        writer.publish_about_node(name, &version, Notice::NoSuchNode).await;
    }
    Ok(decision.requeue_at)
}
