//! How a site gets its token: a person makes a code, the site changes it for a token within an hour, once. The code is worth
//! nothing afterwards, and nobody has seen the token but the site.

use super::{People, Quota, Site, digest, person};
use crate::engine::{Engine, Table, Unavailable, change, json};

#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("there is a site `{0}` already; `bellwire-hub sites code {0}` makes another code for it")]
    Exists(String),
    #[error("there is no site `{0}`; `bellwire-hub sites list` shows them")]
    NoSite(String),
    #[error(
        "this code is not known: it is good once, and for an hour; `bellwire-hub sites code NAME` makes another"
    )]
    NoCode,
    #[error("the machine gives no random bytes; try again in a minute")]
    NoRandomness,
    #[error(transparent)]
    Engine(#[from] Unavailable),
}

/// 256 bits for tokens, 128 for codes and nonces: nobody guesses them.
pub fn random_hex<const BYTES: usize>() -> Result<String, EnrolError> {
    let bytes = bellwire::random::random_bytes::<BYTES>().ok_or(EnrolError::NoRandomness)?;
    Ok(bellwire::hex::hex(&bytes))
}

/// A new site; without a token it can do nothing yet.
pub async fn add(engine: &impl Engine, name: &str, site: &Site) -> Result<(), EnrolError> {
    match engine.create(Table::Sites, name, json(site)).await? {
        Some(_) => Ok(()),
        None => Err(EnrolError::Exists(name.to_owned())),
    }
}

/// A code for a site: its first, or the next when a token is to be replaced.
pub async fn code(engine: &impl Engine, name: &str) -> Result<String, EnrolError> {
    if engine.get(Table::Sites, name).await?.is_none() {
        return Err(EnrolError::NoSite(name.to_owned()));
    }
    let code = random_hex::<16>()?;
    engine.put(Table::Codes, &digest(&code), name.to_owned().into()).await?;
    Ok(code)
}

/// Changes a code for a token: whose it is, and the token.
pub async fn enrol(engine: &impl Engine, code: &str) -> Result<(String, String), EnrolError> {
    let key = digest(code);
    let row = engine.get(Table::Codes, &key).await?.ok_or(EnrolError::NoCode)?;
    // Whoever removes it has it: of two that come at once, one.
    if !engine.remove(Table::Codes, &key, row.revision).await? {
        return Err(EnrolError::NoCode);
    }
    let name = String::from_utf8_lossy(&row.value).into_owned();
    let token = random_hex::<32>()?;
    let digest = digest(&token);
    changed(engine, &name, |site| site.with_token(digest.clone())).await?;
    Ok((name, token))
}

/// No token of the site is good any more, or all but its newest.
pub async fn revoke(engine: &impl Engine, name: &str, keeps: usize) -> Result<(), EnrolError> {
    let left = |mut site: Site| {
        let surplus = site.tokens.len().saturating_sub(keeps);
        site.tokens.drain(..surplus);
        site
    };
    changed(engine, name, left).await
}

/// To whom it may write from now on.
pub async fn claim(engine: &impl Engine, name: &str, people: &[String]) -> Result<(), EnrolError> {
    let people = match people {
        [all] if all == "all" => People::All,
        people => People::Only(people.iter().map(|id| person(id)).collect()),
    };
    changed(engine, name, |site| Site { people: people.clone(), ..site }).await
}

/// How much it may send from now on.
pub async fn limit(engine: &impl Engine, name: &str, quota: Quota) -> Result<(), EnrolError> {
    changed(engine, name, |site| Site { quota, ..site }).await
}

async fn changed(engine: &impl Engine, name: &str, with: impl Fn(Site) -> Site) -> Result<(), EnrolError> {
    let written = change(engine, Table::Sites, name, |row| {
        let site = serde_json::from_slice(row?).ok()?;
        Some(json(&with(site)))
    });
    if written.await? { Ok(()) } else { Err(EnrolError::NoSite(name.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::memory::Memory;

    #[tokio::test]
    async fn a_code_works_once_and_a_second_rotates_the_token() {
        let engine = Memory::default();
        add(&engine, "shop", &Site::default()).await.expect("new");
        assert!(matches!(add(&engine, "shop", &Site::default()).await, Err(EnrolError::Exists(_))));
        let first = code(&engine, "shop").await.expect("a code");
        let (site, token) = enrol(&engine, &first).await.expect("a token");
        assert_eq!((site.as_str(), token.len()), ("shop", 64));
        assert!(matches!(enrol(&engine, &first).await, Err(EnrolError::NoCode)), "once");
        let (_, next) = enrol(&engine, &code(&engine, "shop").await.expect("a code")).await.expect("a token");
        let tokens = |engine: Memory| async move {
            let row = engine.get(Table::Sites, "shop").await.expect("asked").expect("there");
            serde_json::from_slice::<Site>(&row.value).expect("a site").tokens
        };
        assert_eq!(tokens(engine.clone()).await, [digest(&token), digest(&next)], "both are valid");
        revoke(&engine, "shop", 1).await.expect("revoked");
        assert_eq!(tokens(engine.clone()).await, [digest(&next)]);
        revoke(&engine, "shop", 0).await.expect("revoked");
        assert!(tokens(engine.clone()).await.is_empty());
        assert!(matches!(code(&engine, "other").await, Err(EnrolError::NoSite(_))));
    }
}
