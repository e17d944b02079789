use std::collections::HashMap;

use crate::config::{AbsLogin, AbsTarget, ConfigError, Environment, GcsTarget, ReplicaTarget, Secret, parse};

fn target(keys: &str, variables: &[(&str, &str)]) -> Result<ReplicaTarget, ConfigError> {
    let variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let lookup = Box::new(move |name: &str| variables.get(name).cloned());
    let environment = Environment { lookup, home: None, cwd: "/srv".into() };
    let text = format!("dbs: [{{path: a.db, replicas: [{{{keys}}}]}}]\n");
    Ok(parse("c.yml", &text, &environment, true)?.databases.remove(0).replicas.remove(0).target)
}

fn abs(keys: &str, variables: &[(&str, &str)]) -> AbsTarget {
    match target(keys, variables).unwrap() {
        ReplicaTarget::Abs(target) => target,
        other => panic!("{other:?}"),
    }
}

fn gcs(variables: &[(&str, &str)]) -> GcsTarget {
    match target("url: 'gs://b/p'", variables).unwrap() {
        ReplicaTarget::Gcs(target) => target,
        other => panic!("{other:?}"),
    }
}

#[test]
fn credentials_for_azure_are_taken_in_this_order() {
    let all = [
        ("LITESTREAM_AZURE_SAS_TOKEN", "ls-sas"),
        ("LITESTREAM_AZURE_ACCOUNT_KEY", "ls-key"),
        ("AZURE_CLIENT_ID", "client"),
        ("AZURE_TENANT_ID", "tenant"),
        ("AZURE_FEDERATED_TOKEN_FILE", "/token"),
        ("AZURE_CLIENT_SECRET", "secret"),
    ];
    let (key, sas) = (|text| AbsLogin::Key(Secret::new(text)), |text| AbsLogin::Sas(Secret::new(text)));
    let (client_id, tenant_id) = ("client".to_owned(), "tenant".to_owned());
    let login = |keys: &str, variables: &[_]| abs(&format!("url: 'abs://acct@cont/p'{keys}"), variables).login;
    assert_eq!(login(", account-key: own, sas-token: own-sas", &all), sas("own-sas"));
    assert_eq!(login(", account-key: own", &all), key("own"));
    assert_eq!(login("", &all), sas("ls-sas"));
    assert_eq!(login("", &all[1..]), key("ls-key"));
    let (client, tenant) = (client_id.clone(), tenant_id.clone());
    let workload = AbsLogin::WorkloadIdentity { client_id: client, tenant_id: tenant, token_file: "/token".to_owned() };
    assert_eq!(login("", &all[2..]), workload);
    let with_secret = AbsLogin::Client { client_id, tenant_id, secret: Secret::new("secret") };
    assert_eq!(login("", &[all[2], all[3], all[5]]), with_secret);
    assert_eq!(login("", &all[3..]), AbsLogin::ManagedIdentity);
}

#[test]
fn azure_needs_an_account() {
    let error = target("url: 'abs://cont/p'", &[]).unwrap_err().to_string();
    assert_eq!(error, "c.yml:1: dbs[0].replicas[0]: account-name required for abs replica");
    let target = abs("type: abs, bucket: cont, path: p, account-name: acct, endpoint: 'http://x/acct'", &[]);
    assert_eq!((target.account_name.as_deref(), target.endpoint.as_deref()), (Some("acct"), Some("http://x/acct")));
}

#[test]
fn google_is_told_by_the_environment_as_everywhere() {
    assert_eq!(gcs(&[]).emulator, None);
    assert_eq!(gcs(&[("STORAGE_EMULATOR_HOST", "localhost:9")]).emulator.as_deref(), Some("http://localhost:9"));
    assert_eq!(gcs(&[("STORAGE_EMULATOR_HOST", "https://x/")]).emulator.as_deref(), Some("https://x"));
    let credentials = gcs(&[("GOOGLE_APPLICATION_CREDENTIALS", "/key.json")]).credentials;
    assert_eq!(credentials, Some("/key.json".into()));
}
