//! What a stolen operator might try with its right to delete profiles that images have brought, and how it is refused.

use serde_json::{Value, json};

use super::attempts::{Answer, Attempt};

/// A profile of an image.
pub const OF_IMAGE: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/sha256-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
/// A profile whose name states contents and that lacks the label.
pub const WITHOUT_LABEL: &str = "sha256-ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";
/// A profile that has the label of an image's profiles, and a name of its own.
pub const WITH_LABEL: &str = "labelled";

/// With the token of the operator, where images bring profiles. [`WITHOUT_LABEL`], [`WITH_LABEL`] and the profile
/// `entrusted` exist.
pub fn attempts() -> Vec<Attempt> {
    const OTHER: Answer =
        Answer::Refused(422, "the operator deletes profiles that images have brought and no others");
    const PROFILES: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles";
    let delete = |what, path, answer| Attempt {
        what,
        method: "DELETE",
        path,
        content_type: "application/json",
        body: json!({}),
        answer,
    };
    let labelled = json!({ "metadata": { "labels": { api::names::FROM: api::names::FROM_IMAGE } } });
    let label = |what, path| Attempt {
        what,
        method: "PATCH",
        path,
        content_type: "application/merge-patch+json",
        body: Value::clone(&labelled),
        answer: Answer::Refused(
            422,
            "the operator changes nothing in a profile's metadata but its own finalizer",
        ),
    };
    vec![
        delete(
            "a profile of a user deleted",
            "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/entrusted",
            OTHER,
        ),
        delete(
            "the same as a dry run",
            "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/entrusted?dryRun=All",
            OTHER,
        ),
        delete(
            "a profile with the label of an image's profiles and a name of its own deleted",
            "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/labelled",
            OTHER,
        ),
        delete(
            "a profile whose name states its contents, without the label, deleted",
            "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/sha256-ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
            OTHER,
        ),
        label(
            "the label, so that it may be deleted",
            "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/sha256-ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
        ),
        delete("all profiles deleted at once", PROFILES, Answer::Refused(403, "cannot deletecollection")),
        Attempt {
            what: "a profile of an image created",
            method: "POST",
            path: PROFILES,
            content_type: "application/json",
            body: super::admission::profile_of_image(&json!({}), &json!({})),
            answer: Answer::Refused(403, "cannot create"),
        },
    ]
}
