//! Whom nats-server lets in, and whom the nats store trusts: password, token, credentials file, TLS.

mod support;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};
use support::{MIB, assert_unavailable, bytes, nats_settings, open_nats, stored, whole};
use towpath_harness::TestResult;
use towpath_harness::poll::{SOON, within};
use towpath_harness::servers::Nats;
use towpath_harness::tls::Authority;
use towpath_payloads::{Life, NatsSettings, Tier};

/// A payload goes in with these settings and comes out the same.
async fn is_let_in(settings: &NatsSettings) -> TestResult {
    let store = open_nats(settings).await?;
    let data = bytes(MIB + 17);
    let payload = within("a payload", SOON, stored(&store, &data, Life::Held)).await??;
    assert!(whole(&payload).await? == data);
    Ok(())
}

/// Nothing goes in with these settings, and it is said soon.
async fn is_kept_out(settings: &NatsSettings) -> TestResult {
    let store = open_nats(settings).await?;
    let refused = within("a refusal", SOON, stored(&store, &bytes(10), Life::Held)).await?;
    assert_unavailable(refused, Tier::Nats);
    Ok(())
}

fn at(nats: &mut Nats, who: &str) -> NatsSettings {
    nats_settings(&format!("nats://{who}{}", nats.server().address()))
}

#[tokio::test]
async fn by_user_and_password() -> TestResult {
    let config = "authorization { user: towpath, password: \"se:cr@t\" }";
    let mut nats = Nats::start_with(config, &[]).await?;
    is_let_in(&at(&mut nats, "towpath:se%3Acr%40t@")).await?;
    is_kept_out(&at(&mut nats, "towpath:guess@")).await?;
    is_kept_out(&at(&mut nats, "")).await
}

#[tokio::test]
async fn by_token() -> TestResult {
    let mut nats = Nats::start_with("authorization { token: secret }", &[]).await?;
    is_let_in(&at(&mut nats, "secret@")).await?;
    is_kept_out(&at(&mut nats, "guess@")).await
}

#[tokio::test]
async fn by_a_credentials_file() -> TestResult {
    let (operator, system) = (KeyPair::new_operator(), KeyPair::new_account());
    let (account, other) = (KeyPair::new_account(), KeyPair::new_account());
    let signed = |key: &KeyPair| token(&operator, key, &account_claims());
    let config = format!(
        "operator: {}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {}, {}: {} }}\n",
        token(
            &operator,
            &operator,
            &json!({"type": "operator", "version": 2})
        )?,
        system.public_key(),
        system.public_key(),
        token(
            &operator,
            &system,
            &json!({"type": "account", "version": 2})
        )?,
        account.public_key(),
        signed(&account)?,
    );
    let mut nats = Nats::start_with(&config, &[]).await?;
    let folder = tempfile::tempdir()?;
    let with_user_of = |account: &KeyPair, name: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, credentials(account)?)?;
        anyhow::Ok(Some(path))
    };
    let nobody = at(&mut nats, "");
    is_kept_out(&nobody).await?;
    let stranger = NatsSettings {
        credentials_file: with_user_of(&other, "other.creds")?,
        ..nobody.clone()
    };
    is_kept_out(&stranger).await?;
    let known = NatsSettings {
        credentials_file: with_user_of(&account, "user.creds")?,
        ..nobody
    };
    is_let_in(&known).await
}

#[tokio::test]
async fn over_tls_only_who_is_trusted_gets_anything() -> TestResult {
    let authority = Authority::new()?;
    let (certificate, key) = authority.server_pem()?;
    let config = "tls { cert_file: cert.pem, key_file: key.pem }";
    let files = [("cert.pem", &*certificate), ("key.pem", &*key)];
    let mut nats = Nats::start_with(config, &files).await?;
    let folder = tempfile::tempdir()?;
    let ca_file = folder.path().join("ca.pem");
    std::fs::write(&ca_file, authority.pem())?;
    let port = nats.server().address().port();
    let distrusting = nats_settings(&format!("tls://localhost:{port}"));
    is_kept_out(&distrusting).await?;
    let trusting = NatsSettings {
        ca_file: Some(ca_file),
        ..distrusting
    };
    is_let_in(&trusting).await?;
    // the server asks for it, so that this is TLS too
    let asked = NatsSettings {
        url: format!("nats://localhost:{port}"),
        ..trusting
    };
    is_let_in(&asked).await
}

#[tokio::test]
async fn who_asks_for_tls_says_nothing_without() -> TestResult {
    let mut nats = Nats::start().await?;
    let port = nats.server().address().port();
    is_kept_out(&nats_settings(&format!("tls://localhost:{port}"))).await
}

/// What `subject` is and may, signed by `issuer`.
fn token(issuer: &KeyPair, subject: &KeyPair, nats: &Value) -> anyhow::Result<String> {
    let claims = json!({
        "jti": subject.public_key(),
        "iat": 1,
        "iss": issuer.public_key(),
        "name": "test",
        "sub": subject.public_key(),
        "nats": nats,
    });
    let header = json!({"typ": "JWT", "alg": "ed25519-nkey"});
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", encode(&header), encode(&claims));
    let signature = URL_SAFE_NO_PAD.encode(issuer.sign(text.as_bytes())?);
    Ok(format!("{text}.{signature}"))
}

/// An account without bounds, which may use JetStream.
fn account_claims() -> Value {
    json!({
        "type": "account",
        "version": 2,
        "limits": {
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
            "leaf": -1, "mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1,
        },
    })
}

/// A new user of `account`, as `nsc` writes it.
fn credentials(account: &KeyPair) -> anyhow::Result<String> {
    let user = KeyPair::new_user();
    let claims = json!({"type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1});
    let token = token(account, &user, &claims)?;
    let seed = user.seed()?;
    Ok(format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    ))
}
