//! Requests by kind and verb: the whole grid.

use super::kinds::{ApiResource, SERVED};

/// What to do with a kind. [`Verb::Apply`] is `patch` to the authorizer, with a body of its own kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verb {
    /// Read one.
    Get,
    /// Read all.
    List,
    /// Follow all.
    Watch,
    /// Make one.
    Create,
    /// Replace one.
    Update,
    /// Change one.
    Patch,
    /// Change one, or make it, by server-side apply.
    Apply,
    /// Remove one.
    Delete,
    /// Remove all.
    DeleteCollection,
}

impl Verb {
    /// Every verb on a kind.
    pub const ALL: [Verb; 9] = [
        Verb::Get,
        Verb::List,
        Verb::Watch,
        Verb::Create,
        Verb::Update,
        Verb::Patch,
        Verb::Apply,
        Verb::Delete,
        Verb::DeleteCollection,
    ];
    /// Every verb on a subresource.
    pub const OF_PART: [Verb; 6] =
        [Verb::Get, Verb::Create, Verb::Update, Verb::Patch, Verb::Apply, Verb::Delete];

    /// The verb as roles spell it.
    pub fn in_roles(self) -> &'static str {
        match self {
            Verb::Get => "get",
            Verb::List => "list",
            Verb::Watch => "watch",
            Verb::Create => "create",
            Verb::Update => "update",
            Verb::Patch | Verb::Apply => "patch",
            Verb::Delete => "delete",
            Verb::DeleteCollection => "deletecollection",
        }
    }

    /// Whether it changes nothing.
    pub fn reads(self) -> bool {
        matches!(self, Verb::Get | Verb::List | Verb::Watch)
    }

    fn method(self) -> &'static str {
        match self {
            Verb::Get | Verb::List | Verb::Watch => "GET",
            Verb::Create => "POST",
            Verb::Update => "PUT",
            Verb::Patch | Verb::Apply => "PATCH",
            Verb::Delete | Verb::DeleteCollection => "DELETE",
        }
    }
}

/// A verb on a kind or on a part of it, in a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub verb: Verb,
    /// With what.
    pub kind: &'static ApiResource,
    /// With which subresource of it.
    pub part: Option<&'static str>,
    /// Where; `None` for a kind without namespaces, and for all namespaces at once.
    pub namespace: Option<&'static str>,
}

/// The requested name. It need not exist: the API server checks the right first.
const NAME: &str = "of-somebody";

/// The namespaces of the requests: that of Events, of the control plane and of the release.
pub const NAMESPACES: [&str; 3] = ["default", "kube-system", "seccomp-profile"];

/// Every verb on every kind and on every part of it, in several places.
pub fn all() -> impl Iterator<Item = Request> {
    SERVED.iter().flat_map(of_kind)
}

fn of_kind(kind: &'static ApiResource) -> impl Iterator<Item = Request> {
    let parts = kind.parts.iter().map(|part| Some(*part));
    [None].into_iter().chain(parts).flat_map(move |part| {
        let verbs = if part.is_some() { Verb::OF_PART.as_slice() } else { Verb::ALL.as_slice() };
        verbs.iter().flat_map(move |verb| {
            places(kind, *verb).map(move |namespace| Request { verb: *verb, kind, part, namespace })
        })
    })
}

fn places(kind: &ApiResource, verb: Verb) -> impl Iterator<Item = Option<&'static str>> {
    let everywhere = !kind.namespaced || matches!(verb, Verb::List | Verb::Watch);
    let within = if kind.namespaced { NAMESPACES.as_slice() } else { &[] };
    everywhere.then_some(None).into_iter().chain(within.iter().map(|place| Some(*place)))
}

impl Request {
    /// The kind as roles spell it, with its subresource.
    pub fn resource(&self) -> String {
        match self.part {
            Some(part) => format!("{}/{part}", self.kind.plural),
            None => self.kind.plural.to_owned(),
        }
    }

    /// Whether it is about one object that has a name.
    pub fn is_named(&self) -> bool {
        let one = matches!(self.verb, Verb::Get | Verb::Update | Verb::Patch | Verb::Apply | Verb::Delete);
        one || self.part.is_some()
    }

    /// The HTTP method.
    pub fn method(&self) -> &'static str {
        self.verb.method()
    }

    /// The path with its query. Requests that change something are dry runs, so that a mistake has no effect.
    pub fn path(&self) -> String {
        let ApiResource { group, version, plural, .. } = self.kind;
        let mut path =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        if let Some(namespace) = self.namespace {
            path += &format!("/namespaces/{namespace}");
        }
        path += &format!("/{plural}");
        if self.is_named() {
            path += &format!("/{NAME}");
        }
        if let Some(part) = self.part {
            path += &format!("/{part}");
        }
        path += match self.verb {
            Verb::Get | Verb::List => "",
            Verb::Watch => "?watch=true&timeoutSeconds=1",
            Verb::Apply => "?dryRun=All&fieldManager=thief&force=true",
            _ => "?dryRun=All",
        };
        path
    }

    /// The content type of what it sends.
    pub fn content_type(&self) -> &'static str {
        match self.verb {
            Verb::Patch => "application/merge-patch+json",
            Verb::Apply => "application/apply-patch+yaml",
            _ => "application/json",
        }
    }

    /// The body: not empty, and not valid either.
    pub fn body(&self) -> &'static str {
        if self.verb.reads() { "" } else { "{}" }
    }

    /// The API server's message to an account without the right.
    pub fn refusal(&self) -> String {
        format!("cannot {} resource \"{}\"", self.verb.in_roles(), self.resource())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_grid_has_the_requests_that_an_attacker_would_send() {
        let all: Vec<String> =
            all().map(|request| format!("{} {}", request.method(), request.path())).collect();
        for wanted in [
            "GET /api/v1/secrets",
            "GET /api/v1/namespaces/kube-system/secrets/of-somebody",
            "GET /api/v1/namespaces/seccomp-profile/configmaps?watch=true&timeoutSeconds=1",
            "POST /api/v1/namespaces/default/pods/of-somebody/exec?dryRun=All",
            "POST /api/v1/namespaces/seccomp-profile/serviceaccounts/of-somebody/token?dryRun=All",
            "GET /api/v1/nodes/of-somebody/proxy",
            "PATCH /api/v1/nodes/of-somebody/status?dryRun=All",
            "PUT /apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses/of-somebody/status?dryRun=All",
            "PATCH /apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/of-somebody?dryRun=All&fieldManager=thief&force=true",
            "DELETE /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies?dryRun=All",
        ] {
            assert!(all.iter().any(|request| request == wanted), "{wanted}");
        }
        let mut unique = all.clone();
        unique.sort();
        unique.dedup();
        // A patch and an apply of one object differ in their content type and query.
        assert_eq!(unique.len(), all.len());
    }
}
