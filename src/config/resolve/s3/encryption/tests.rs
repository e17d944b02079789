use crate::config::{ConfigError, Environment, ReplicaTarget, S3Encryption, S3Target, Secret, parse};

const KEY: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

fn target_of(url: &str, keys: &str) -> Result<S3Target, ConfigError> {
    let environment = Environment { lookup: Box::new(|_| None), home: None, cwd: "/".into() };
    let text = format!("dbs:\n- path: a.db\n  replica:\n    url: {url}\n{keys}");
    match parse("c.yml", &text, &environment, true)?.databases.remove(0).replicas.remove(0).target {
        ReplicaTarget::S3(target) => Ok(target),
        other => panic!("{other:?}"),
    }
}

fn target(keys: &[(&str, &str)]) -> Result<S3Target, ConfigError> {
    let lines: String = keys.iter().map(|(key, value)| format!("    {key}: {value}\n")).collect();
    target_of("s3://b/p", &lines)
}

#[test]
fn encryption_is_what_the_keys_ask_for() {
    let kms = |id: &str, twice| S3Encryption::Kms { key_id: Some(id.to_owned()).filter(|id| !id.is_empty()), twice };
    let customer = || S3Encryption::Customer(Secret::new(KEY));
    let cases: [(&[_], S3Encryption); 7] = [
        (&[], S3Encryption::Bucket),
        (&[("server-side-encryption", "AES256")], S3Encryption::Service),
        (&[("sse-kms-key-id", "alias/x")], kms("alias/x", false)),
        (&[("server-side-encryption", "aws:kms")], kms("", false)),
        (&[("server-side-encryption", "aws:kms:dsse"), ("sse-kms-key-id", "k")], kms("k", true)),
        (&[("sse-customer-key", KEY)], customer()),
        (&[("sse-customer-algorithm", "AES256"), ("sse-customer-key", KEY)], customer()),
    ];
    for (keys, expected) in cases {
        assert_eq!(target(keys).unwrap().encryption, expected, "{keys:?}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{KEY}\n")).unwrap();
    let path = file.path().to_str().unwrap();
    assert_eq!(target(&[("sse-customer-key-path", path)]).unwrap().encryption, customer());
}

#[test]
fn encryption_that_cannot_be_had_is_an_error() {
    let (customer, short) = (("sse-customer-key", KEY), ("sse-customer-key", "c2hvcnQ="));
    let cases: [(&[_], &str); 11] = [
        (&[("server-side-encryption", "aes")], "none of AES256, aws:kms, aws:kms:dsse"),
        (&[("server-side-encryption", "AES256"), ("sse-kms-key-id", "k")], "remove sse-kms-key-id, or set aws:kms"),
        (&[("server-side-encryption", "AES256"), customer], "remove server-side-encryption or sse-customer-key"),
        (&[("sse-kms-key-id", "k"), customer], "sse-kms-key-id: cannot be combined with a customer key"),
        (&[("sse-kms-key-id", "\"a b\"")], "sse-kms-key-id: is no id of a key"),
        (&[customer, ("sse-customer-key-path", "/x")], "cannot specify sse-customer-key & sse-customer-key-path"),
        (&[("sse-customer-algorithm", "AES256")], "without sse-customer-key or sse-customer-key-path"),
        (&[("sse-customer-algorithm", "DES"), customer], "is not AES256"),
        (&[short], "sse-customer-key: is no key of 32 bytes in Base64"),
        (&[("sse-customer-key-path", "/nowhere/key")], "cannot read the key in /nowhere/key"),
        (&[("sse-customer-key-path", "/dev/null")], "sse-customer-key-path: is no key of 32 bytes"),
    ];
    for (keys, expected) in cases {
        let text = target(keys).unwrap_err().to_string();
        assert!(text.contains(expected) && text.contains("c.yml:"), "{keys:?}: {text}");
        assert!(!text.contains(KEY) && !text.contains("c2hvcnQ"), "{text}");
    }
}

#[test]
fn encryption_by_the_store_is_of_s3_only() {
    for (url, key) in [("file:///b", "sse-kms-key-id: k"), ("gs://b", "storage-class: NEARLINE")] {
        let text = target_of(url, &format!("    {key}\n")).unwrap_err().to_string();
        assert!(text.contains(": only s3 replicas have it"), "{text}");
    }
}

#[test]
fn a_storage_class_must_be_readable() {
    let class = |name: &str| target(&[("storage-class", name)]);
    for name in ["STANDARD_IA", "GLACIER_IR", "ONEZONE_IA", "my-tier.2"] {
        assert_eq!(class(name).unwrap().storage_class.as_deref(), Some(name));
    }
    for (name, expected) in [("GLACIER", "could be restored"), ("\"a b\"", "is no storage class")] {
        let text = class(name).unwrap_err().to_string();
        assert!(text.contains(expected) && text.contains("storage-class"), "{text}");
    }
}

#[test]
fn a_customers_key_is_never_shown() {
    let target = target(&[("sse-customer-key", KEY)]).unwrap();
    let shown = format!("{target:?} {}", ReplicaTarget::S3(target.clone()));
    assert!(!shown.contains(KEY), "{shown}");
}

#[test]
fn a_key_has_32_bytes() {
    assert!(super::is_key(KEY));
    for bad in ["", "=", &KEY[1..], &KEY[..43], &KEY.replace("WY=", "WZ="), &KEY.replace('M', "-"), &format!("{KEY}=")]
    {
        assert!(!super::is_key(bad), "{bad}");
    }
}
