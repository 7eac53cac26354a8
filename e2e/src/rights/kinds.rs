//! Every kind that the API server serves, each in one version: rights know no versions.

/// A kind, as the API server serves it.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiResource {
    /// Its API group; empty for the core.
    pub group: &'static str,
    /// The version of the requests.
    pub version: &'static str,
    /// Its name in paths and in roles.
    pub plural: &'static str,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
    /// Its subresources.
    pub parts: &'static [&'static str],
}

const fn cluster(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    parts: &'static [&'static str],
) -> ApiResource {
    ApiResource { group, version, plural, namespaced: false, parts }
}

const fn spaced(
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    parts: &'static [&'static str],
) -> ApiResource {
    ApiResource { group, version, plural, namespaced: true, parts }
}

const STATUS: &[&str] = &["status"];

/// Kubernetes 1.37 with its default features, and the three kinds of ours. A test on the cluster holds it to what the API
/// server reports.
pub const SERVED: &[ApiResource] = &[
    spaced("", "v1", "bindings", &[]),
    cluster("", "v1", "componentstatuses", &[]),
    spaced("", "v1", "configmaps", &[]),
    spaced("", "v1", "endpoints", &[]),
    spaced("", "v1", "events", &[]),
    spaced("", "v1", "limitranges", &[]),
    cluster("", "v1", "namespaces", &["finalize", "status"]),
    cluster("", "v1", "nodes", &["proxy", "status"]),
    spaced("", "v1", "persistentvolumeclaims", STATUS),
    cluster("", "v1", "persistentvolumes", STATUS),
    spaced(
        "",
        "v1",
        "pods",
        &[
            "attach",
            "binding",
            "ephemeralcontainers",
            "eviction",
            "exec",
            "log",
            "portforward",
            "proxy",
            "resize",
            "status",
        ],
    ),
    spaced("", "v1", "podtemplates", &[]),
    spaced("", "v1", "replicationcontrollers", &["scale", "status"]),
    spaced("", "v1", "resourcequotas", STATUS),
    spaced("", "v1", "secrets", &[]),
    spaced("", "v1", "serviceaccounts", &["token"]),
    spaced("", "v1", "services", &["proxy", "status"]),
    cluster("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicies", &[]),
    cluster("admissionregistration.k8s.io", "v1", "mutatingadmissionpolicybindings", &[]),
    cluster("admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", &[]),
    cluster("admissionregistration.k8s.io", "v1", "validatingadmissionpolicies", STATUS),
    cluster("admissionregistration.k8s.io", "v1", "validatingadmissionpolicybindings", &[]),
    cluster("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations", &[]),
    cluster("apiextensions.k8s.io", "v1", "customresourcedefinitions", STATUS),
    cluster("apiregistration.k8s.io", "v1", "apiservices", STATUS),
    spaced("apps", "v1", "controllerrevisions", &[]),
    spaced("apps", "v1", "daemonsets", STATUS),
    spaced("apps", "v1", "deployments", &["scale", "status"]),
    spaced("apps", "v1", "replicasets", &["scale", "status"]),
    spaced("apps", "v1", "statefulsets", &["scale", "status"]),
    cluster("authentication.k8s.io", "v1", "selfsubjectreviews", &[]),
    cluster("authentication.k8s.io", "v1", "tokenreviews", &[]),
    spaced("authorization.k8s.io", "v1", "localsubjectaccessreviews", &[]),
    cluster("authorization.k8s.io", "v1", "selfsubjectaccessreviews", &[]),
    cluster("authorization.k8s.io", "v1", "selfsubjectrulesreviews", &[]),
    cluster("authorization.k8s.io", "v1", "subjectaccessreviews", &[]),
    spaced("autoscaling", "v2", "horizontalpodautoscalers", STATUS),
    spaced("batch", "v1", "cronjobs", STATUS),
    spaced("batch", "v1", "jobs", STATUS),
    cluster("certificates.k8s.io", "v1", "certificatesigningrequests", &["approval", "status"]),
    cluster("certificates.k8s.io", "v1", "clustertrustbundles", &[]),
    spaced("certificates.k8s.io", "v1", "podcertificaterequests", STATUS),
    spaced("coordination.k8s.io", "v1", "leases", &[]),
    spaced("discovery.k8s.io", "v1", "endpointslices", &[]),
    spaced("events.k8s.io", "v1", "events", &[]),
    cluster("flowcontrol.apiserver.k8s.io", "v1", "flowschemas", STATUS),
    cluster("flowcontrol.apiserver.k8s.io", "v1", "prioritylevelconfigurations", STATUS),
    cluster("networking.k8s.io", "v1", "ingressclasses", &[]),
    spaced("networking.k8s.io", "v1", "ingresses", STATUS),
    cluster("networking.k8s.io", "v1", "ipaddresses", &[]),
    spaced("networking.k8s.io", "v1", "networkpolicies", &[]),
    cluster("networking.k8s.io", "v1", "servicecidrs", STATUS),
    cluster("node.k8s.io", "v1", "runtimeclasses", &[]),
    spaced("policy", "v1", "poddisruptionbudgets", STATUS),
    cluster("rbac.authorization.k8s.io", "v1", "clusterrolebindings", &[]),
    cluster("rbac.authorization.k8s.io", "v1", "clusterroles", &[]),
    spaced("rbac.authorization.k8s.io", "v1", "rolebindings", &[]),
    spaced("rbac.authorization.k8s.io", "v1", "roles", &[]),
    cluster("resource.k8s.io", "v1", "deviceclasses", &[]),
    cluster("resource.k8s.io", "v1", "devicetaintrules", STATUS),
    spaced("resource.k8s.io", "v1", "resourceclaims", STATUS),
    spaced("resource.k8s.io", "v1", "resourceclaimtemplates", &[]),
    cluster("resource.k8s.io", "v1", "resourceslices", &[]),
    cluster("scheduling.k8s.io", "v1", "priorityclasses", &[]),
    cluster("seccomp.imjasonh.dev", "v1alpha1", "nodeprofilestatuses", STATUS),
    cluster("seccomp.imjasonh.dev", "v1alpha1", "seccompobservations", STATUS),
    cluster("seccomp.imjasonh.dev", "v1alpha1", "seccompprofiles", STATUS),
    cluster("storage.k8s.io", "v1", "csidrivers", &[]),
    cluster("storage.k8s.io", "v1", "csinodes", STATUS),
    spaced("storage.k8s.io", "v1", "csistoragecapacities", &[]),
    cluster("storage.k8s.io", "v1", "storageclasses", &[]),
    cluster("storage.k8s.io", "v1", "volumeattachments", STATUS),
    cluster("storage.k8s.io", "v1", "volumeattributesclasses", &[]),
    cluster("storagemigration.k8s.io", "v1", "storageversionmigrations", STATUS),
];
