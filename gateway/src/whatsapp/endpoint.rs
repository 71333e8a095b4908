//! Where and as whom to ask the Cloud API.

use crate::config::{Connection, secret};
use crate::whatsapp::client::Endpoint;

/// Where and as whom to ask. The token is read anew for each request: a new one in the file works at once, and none
/// stays in memory.
pub fn endpoint(connection: &Connection) -> Result<Endpoint, String> {
    Ok(Endpoint {
        api_url: connection.api_url.clone(),
        api_version: connection.api_version.clone(),
        phone_number_id: connection.phone_number_id.clone(),
        access_token: secret(&connection.access_token).map_err(|error| error.to_string())?,
        via_hub: connection.via_hub,
    })
}
