//! The chart as helm renders it with its default values, for more than one test program.

use e2e::build_images::repository;
use e2e::cluster::{Client, NAMESPACE};
use e2e::rights::rules::Rights;
use e2e::rights::table::Account;
use serde_json::Value;

/// Every object of the chart, hooks among them.
pub(crate) fn objects(client: &Client) -> Vec<Value> {
    let chart = repository().join("charts").join(NAMESPACE).display().to_string();
    let arguments = ["template", NAMESPACE, &chart, "--namespace", NAMESPACE, "--kube-version", "1.33"];
    let text = client.helm(arguments).unwrap_or_else(|error| panic!("{error}"));
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
    objects.into_iter().filter(|object| !object.is_null()).collect()
}

/// Every service account of the chart, with what its roles grant.
pub(crate) fn accounts(objects: &[Value]) -> Vec<Account> {
    let accounts = objects.iter().filter(|object| object["kind"] == "ServiceAccount");
    let accounts = accounts.map(|account| {
        let name = account["metadata"]["name"].as_str().unwrap().to_owned();
        Account { rights: Rights::of(NAMESPACE, &name, objects), name }
    });
    accounts.collect()
}
