//! What a site asks Meta beside messages: files up and down, templates, its number. The Meta token stays at the hub; the site's
//! rights are checked against the path.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bellwire::whatsapp::client::{Endpoint, RequestBody, whole};
use bellwire::whatsapp::received::NoFile;
use serde_json::Value;

use super::{Caller, HUB, Hub, again, refusal};
use crate::engine::{Engine, Table};
use crate::incoming::media_key;

/// Meta's largest files have 100 MB; a hub has one in memory for each that is fetched, and four at most.
const FILE_MAX: u32 = 100 * 1024 * 1024;

impl Hub {
    /// Where and as whom to ask Meta, for a site that has this number.
    pub(super) fn endpoint(
        &self,
        caller: &Caller,
        version: &str,
        number: &str,
    ) -> Result<Endpoint, Response> {
        let known = self.settings.number(number).filter(|_| caller.site.numbers.contains(number));
        let Some(known) = known else {
            let details = "the hub has no such number, or not for this site";
            let error =
                serde_json::json!({ "error": { "code": 100, "error_subcode": 33, "message": details } });
            return Err(([(HUB, "refused")], (StatusCode::BAD_REQUEST, axum::Json(error))).into_response());
        };
        let version = bellwire::config::api_version(version).map_err(|why| {
            refusal(StatusCode::BAD_REQUEST, 100, &format!("{version} is no version: {why}"))
        })?;
        let token = known.access_token().map_err(|error| {
            tracing::error!(%error, number, "the access token of this number cannot be read: nothing is sent over it; look at access_token_file");
            again("the hub cannot read its token", Duration::from_secs(30))
        })?;
        Ok(Endpoint {
            api_url: known.api_url.clone(),
            api_version: version,
            phone_number_id: number.to_owned(),
            access_token: token,
            via_hub: false,
        })
    }

    /// Asks Meta for something that may be asked twice, and tells what it answers.
    pub(super) async fn forward(
        &self,
        endpoint: &Endpoint,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Response {
        let kind = (!body.is_empty()).then_some("application/json");
        self.pass_on(endpoint, method, path, kind, whole(body)).await
    }

    async fn pass_on(
        &self,
        endpoint: &Endpoint,
        method: Method,
        path: &str,
        kind: Option<&str>,
        body: RequestBody,
    ) -> Response {
        match self.client.call(method, endpoint, path, kind, body).await {
            Ok((status, _, body)) => {
                let kind = [(header::CONTENT_TYPE, "application/json")];
                (status, [(HUB, "answer")], kind, body).into_response()
            }
            Err(answer) => again(&answer.in_words(), Duration::from_secs(2)),
        }
    }

    /// Whether a file was sent to this site.
    async fn may_fetch(&self, caller: &Caller, id: &str) -> Result<(), Response> {
        let of = self.engine.get(Table::Routes, &media_key(id)).await;
        let of = of.map_err(|error| again(&error.to_string(), Duration::from_secs(5)))?;
        match of {
            Some(row) if row.value == caller.name.as_bytes() => Ok(()),
            Some(_) | None => Err(refusal(StatusCode::NOT_FOUND, 100, "no such file was sent to this site")),
        }
    }

    /// Where a file that was sent to this site is asked for: by the first of the site's numbers, or the one that the query names.
    async fn endpoint_of_file(
        &self,
        caller: &Caller,
        version: &str,
        id: &str,
        query: &str,
    ) -> Result<Endpoint, Response> {
        self.may_fetch(caller, id).await?;
        let named = parameter(query, "phone_number_id=");
        let number = named.or_else(|| caller.site.numbers.first().map(String::as_str)).unwrap_or_default();
        self.endpoint(caller, version, number)
    }
}

/// What follows a name and its `=` in a query.
fn parameter<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name))
}

fn either(answer: Result<Response, Response>) -> Response {
    match answer {
        Ok(answer) | Err(answer) => answer,
    }
}

/// A file on its way out: it goes through in pieces.
pub(super) async fn upload(
    State(hub): State<Hub>,
    Path((version, number)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let answer = async {
        let caller = hub.caller(&headers).await?;
        let endpoint = hub.endpoint(&caller, &version, &number)?;
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        Ok(hub.pass_on(&endpoint, Method::POST, &format!("{number}/media"), kind, pieces(body)).await)
    };
    either(answer.await)
}

fn pieces(body: Body) -> RequestBody {
    use http_body_util::BodyExt;
    body.map_err(Into::into).boxed_unsync()
}

/// Templates of the account that the number belongs to.
pub(super) async fn templates(
    State(hub): State<Hub>,
    Path((version, account)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let caller = hub.caller(&headers).await?;
        let of_account = hub.settings.numbers.iter().find(|number| {
            number.business_account_id.as_ref() == Some(&account)
                && caller.site.numbers.contains(&number.phone_number_id)
        });
        let number = of_account.map_or("", |number| number.phone_number_id.as_str());
        let endpoint = hub.endpoint(&caller, &version, number)?;
        let path = format!("{account}/message_templates?{}", query.unwrap_or_default());
        Ok(hub.forward(&endpoint, Method::GET, &path, Bytes::new()).await)
    };
    either(answer.await)
}

/// The number itself, or a file that was sent to the site: then its address becomes one of this hub.
pub(super) async fn about(
    State(hub): State<Hub>,
    Path((version, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let answer = async {
        let caller = hub.caller(&headers).await?;
        let path = format!("{id}?{query}");
        if caller.site.numbers.contains(&id) {
            let endpoint = hub.endpoint(&caller, &version, &id)?;
            return Ok(hub.forward(&endpoint, Method::GET, &path, Bytes::new()).await);
        }
        let endpoint = hub.endpoint_of_file(&caller, &version, &id, &query).await?;
        match hub.client.get(&endpoint, &path).await {
            Ok(mut about) => {
                // Relative to the hub: only the site knows by which name it comes here.
                about["url"] = Value::String(format!("/hub/v1/media/{id}?version={version}&{query}"));
                Ok(([(HUB, "answer")], axum::Json(about)).into_response())
            }
            Err(_) => Ok(refusal(StatusCode::NOT_FOUND, 100, "Meta does not have this file, or not now")),
        }
    };
    either(answer.await)
}

pub(super) async fn download(
    State(hub): State<Hub>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let answer = async {
        let caller = hub.caller(&headers).await?;
        let version = parameter(&query, "version=").unwrap_or_default();
        let endpoint = hub.endpoint_of_file(&caller, version, &id, &query).await?;
        let _place = hub.bodies.downloads.acquire().await;
        match hub.client.download(&endpoint, &id, None, FILE_MAX).await {
            Ok(bytes) => Ok(bytes.into_response()),
            Err(NoFile::Later(why)) => {
                Ok((StatusCode::SERVICE_UNAVAILABLE, format!("{why}\n")).into_response())
            }
            Err(NoFile::Again(why) | NoFile::Never(why)) => {
                Ok((StatusCode::NOT_FOUND, format!("{why}\n")).into_response())
            }
        }
    };
    either(answer.await)
}

/// Meta forgets a file that was sent to the site.
pub(super) async fn delete(
    State(hub): State<Hub>,
    Path((version, id)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let query = query.unwrap_or_default();
    let answer = async {
        let caller = hub.caller(&headers).await?;
        let endpoint = hub.endpoint_of_file(&caller, &version, &id, &query).await?;
        Ok(hub.forward(&endpoint, Method::DELETE, &format!("{id}?{query}"), Bytes::new()).await)
    };
    either(answer.await)
}
