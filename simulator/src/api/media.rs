//! Media: upload, look up, fetch, delete (docs/cloud-api.md 2).

use axum::Router;
use axum::body::Bytes;
use axum::extract::multipart::MultipartRejection;
use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::json;

use super::{Answer, Parameters, json as answer};
use crate::graph::Refusal;
use crate::media::{Origin, fits, hash, kind_of};
use crate::state::Simulator;

/// The largest that Meta takes, a document of 100 MB, and the form around it.
const UPLOAD_MAX: usize = 101 * 1024 * 1024;

pub fn routes() -> Router<Simulator> {
    Router::new()
        .route("/{version}/{node}/media", post(upload).layer(DefaultBodyLimit::max(UPLOAD_MAX)))
        .route("/whatsapp_business/attachments/", get(fetch))
}

struct Upload {
    mime: String,
    bytes: Bytes,
}

/// What may stand in the query instead of in the form.
#[derive(Debug, Deserialize)]
struct InQuery {
    messaging_product: Option<String>,
}

async fn upload(
    State(simulator): State<Simulator>,
    Path((_, number)): Path<(String, String)>,
    Parameters(query): Parameters<InQuery>,
    headers: HeaderMap,
    form: Result<Multipart, MultipartRejection>,
) -> Answer {
    simulator.enter(&headers, "media").await?;
    simulator.number(&number).await?;
    let read = match form {
        Ok(form) => read(form, query.messaging_product.as_deref() == Some("whatsapp")).await,
        Err(_) => Err(Refusal::new(100, "The body must be multipart/form-data.")),
    };
    let judged = read.and_then(|upload| {
        let Some(kind) = kind_of(&upload.mime) else {
            return Err(Refusal::new(
                131_053,
                format!("Param file has the type {}, which is not supported.", upload.mime),
            ));
        };
        fits(kind, &upload.mime, &upload.bytes)?;
        Ok(upload)
    });
    let upload = match judged {
        Ok(upload) => upload,
        Err(refusal) => return Err(simulator.refuse(&refusal).await),
    };
    let mut world = simulator.world.lock().await;
    let now = Simulator::now(&world);
    let id = world.media.put(&number, &upload.mime, upload.bytes, Origin::Uploaded, now).id;
    Ok(answer(json!({ "id": id.to_string() })))
}

/// The MIME type of the file part decides (docs/cloud-api.md 2).
async fn read(mut form: Multipart, in_query: bool) -> Result<Upload, Refusal> {
    let (mut product, mut file) = (in_query, None);
    loop {
        let field = form.next_field().await;
        let field = field.map_err(|error| Refusal::new(100, format!("The form is broken: {error}")))?;
        let Some(field) = field else { break };
        let name = field.name().unwrap_or_default().to_owned();
        let mime = field.content_type().unwrap_or("application/octet-stream").to_owned();
        let bytes = field.bytes().await;
        let bytes =
            bytes.map_err(|error| Refusal::new(131_053, format!("The file was not taken: {error}")))?;
        match name.as_str() {
            "messaging_product" => product = bytes == "whatsapp",
            "file" => file = Some(Upload { mime, bytes }),
            "type" => {}
            other => return Err(Refusal::new(100, format!("Unexpected key \"{other}\" in the form."))),
        }
    }
    if !product {
        return Err(Refusal::new(100, "The parameter messaging_product is required."));
    }
    file.ok_or_else(|| Refusal::new(100, "The parameter file is required."))
}

/// `GET /{media_id}`; called by the route of all nodes.
pub async fn look_up(simulator: &Simulator, id: &str, number: Option<&str>, headers: &HeaderMap) -> Answer {
    let world = simulator.world.lock().await;
    let now = Simulator::now(&world);
    let found = world.media.get(id, now).and_then(|medium| match number {
        Some(number) if number != medium.phone_number_id => Err(Refusal::no_object(id)),
        _ => Ok(medium),
    });
    match found {
        Ok(medium) => {
            let secret = simulator.options.app_secret.expose_secret();
            Ok(answer(medium.shown(&base(headers), secret, now)))
        }
        Err(refusal) => {
            drop(world);
            Err(simulator.refuse(&refusal).await)
        }
    }
}

/// Where this request found the simulator: media urls lead to the same place.
pub fn base(headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("127.0.0.1");
    format!("http://{host}")
}

#[derive(Debug, Deserialize)]
struct Ticket {
    mid: String,
    ext: i64,
    hash: String,
}

/// `GET <url>`: needs the token and a User-Agent, for five minutes.
async fn fetch(
    State(simulator): State<Simulator>,
    Parameters(ticket): Parameters<Ticket>,
    headers: HeaderMap,
) -> Answer {
    simulator.enter(&headers, "download").await?;
    if headers.get(header::USER_AGENT).is_none_or(header::HeaderValue::is_empty) {
        return Ok((StatusCode::FORBIDDEN, "a User-Agent is needed").into_response());
    }
    let world = simulator.world.lock().await;
    let now = Simulator::now(&world);
    let expected = hash(simulator.options.app_secret.expose_secret(), &ticket.mid, ticket.ext);
    let found = world.media.get(&ticket.mid, now).ok();
    match found.filter(|_| ticket.hash == expected && now.0 < ticket.ext) {
        Some(medium) => {
            let mime = [(header::CONTENT_TYPE, medium.mime_type.clone())];
            Ok((mime, medium.bytes.clone()).into_response())
        }
        None => Ok((StatusCode::NOT_FOUND, "this url is gone: ask for a new one").into_response()),
    }
}
