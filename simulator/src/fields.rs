//! `?fields=`: the fields that Meta documents for each kind of node, field expansion (`throughput{level}`), and what is shown.

use serde_json::{Map, Value};

use crate::graph::Refusal;

/// A kind of node: its name in Graph's errors, what is shown without `fields`, and what may be asked for. A documented field
/// that has no value is left out of the answer, as Graph does; any other name is refused.
pub struct Node {
    pub name: &'static str,
    standard: &'static str,
    documented: &'static str,
}

/// Meta's OpenAPI file for v23.0 (PhoneNumberInfo, WhatsAppBusinessAccountPhoneNumber, WhatsAppAccountNumber, the bodies of
/// `POST /{Phone-Number-ID}`), and Graph's reference of WhatsAppBusinessPhoneNumber for the last two lines.
pub const NUMBER: Node = Node {
    name: "WhatsAppBusinessPhoneNumber",
    standard: "id,display_phone_number,verified_name,status,quality_rating,platform_type,throughput,\
               code_verification_status,last_onboarded_time,webhook_configuration,health_status",
    documented: "id,display_phone_number,verified_name,status,quality_rating,code_verification_status,name_status,\
                 country_code,country_dial_code,unified_cert_status,account_mode,host_platform,messaging_limit_tier,\
                 certificate,is_official_business_account,username,search_visibility,webhook_configuration,new_display_name,\
                 platform_type,throughput,quality_score,health_status,last_onboarded_time,is_pin_enabled,is_on_biz_app,\
                 is_preverified_number,new_certificate,new_name_status,eligibility_for_api_business_global_search,\
                 conversational_automation,whatsapp_business_manager_messaging_limit",
};

/// The same file (WhatsAppBusinessAccount), Graph's reference for the last two lines.
pub const ACCOUNT: Node = Node {
    name: "WhatsAppBusinessAccount",
    standard: "id,name,currency,timezone_id,message_template_namespace",
    documented: "id,name,account_review_status,purchase_order_number,audiences,ownership_type,subscribed_apps,\
                 business_verification_status,country,currency,timezone_id,on_behalf_of_business_info,schedules,\
                 is_enabled_for_insights,dcc_config,message_templates,phone_numbers,message_template_namespace,\
                 primary_business_location,status,health_status,owner_business_info,owner_business,primary_funding_id,\
                 marketing_messages_lite_api_status,marketing_messages_onboarding_status,creation_time,\
                 disable_marketing_messages_on_cloud_api,whatsapp_business_manager_messaging_limit,auth_international_rate_eligibility",
};

/// The same file (`GET /{TEMPLATE_ID}`), Graph's reference of WhatsAppMessageTemplate for the rest.
pub const TEMPLATE: Node = Node {
    name: "WhatsAppMessageTemplate",
    standard: "id,name,language,status,category,components,parameter_format,message_send_ttl_seconds,previous_category,\
               sub_category,correct_category",
    documented: "id,name,language,status,category,components,parameter_format,message_send_ttl_seconds,previous_category,\
                 correct_category,sub_category,quality_score,rejected_reason,health_status,library_template_name,\
                 cta_url_link_tracking_opted_out,degrees_of_freedom_spec,creative_sourcing_spec,specific_rejection_reason,\
                 allow_category_change,is_primary_device_delivery_only,last_updated_time,created_time,primary_device_only,\
                 display_format,bid_spec",
};

/// The same file (WhatsAppBusinessProfile).
pub const PROFILE: Node = Node {
    name: "WhatsAppBusinessProfile",
    standard: "messaging_product",
    documented: "messaging_product,about,address,description,email,profile_picture_url,websites,vertical,id",
};

/// The same file (`GET /{Phone-Number-ID}/whatsapp_commerce_settings`); `catalog_id` is what pywa asks for.
pub const COMMERCE: Node = Node {
    name: "WhatsAppCommerceSettings",
    standard: "id,is_cart_enabled,is_catalog_visible",
    documented: "id,is_cart_enabled,is_catalog_visible,catalog_id",
};

/// The same file (QrCodeDetails).
pub const QR_CODE: Node = Node {
    name: "WhatsAppMessageQRCode",
    standard: "code,prefilled_message,deep_link_url",
    documented: "code,prefilled_message,deep_link_url,creation_time,qr_image_url",
};

/// One field that is asked for, and what of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Field<'a> {
    pub name: &'a str,
    pub within: Option<&'a str>,
}

/// `id,throughput{level},qr_image_url.format(SVG)`: commas inside of braces and brackets belong to what is inside.
pub fn parse(text: &str) -> Vec<Field<'_>> {
    let (mut depth, mut start, mut parts) = (0_i32, 0, Vec::new());
    for (at, letter) in text.char_indices() {
        match letter {
            '{' | '(' => depth += 1,
            '}' | ')' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(field).collect()
}

fn field(part: &str) -> Field<'_> {
    let name = part.split(['.', '{', '(']).next().unwrap_or_default().trim();
    let within = part.split_once('{').map(|(_, rest)| rest.strip_suffix('}').unwrap_or(rest));
    Field { name, within }
}

impl Node {
    /// Whether all that is asked for is documented.
    pub fn has(&self, fields: &str) -> bool {
        parse(fields).iter().all(|field| is_in(self.documented, field.name))
    }

    /// What a node shows: what was asked for, an `id` that it has always; an unknown name is refused with 100 (docs/cloud-api.md 6).
    pub fn select(&self, all: &Map<String, Value>, fields: Option<&str>) -> Result<Value, Refusal> {
        let mut chosen = Map::new();
        if let Some(id) = all.get("id") {
            chosen.insert("id".to_owned(), id.clone());
        }
        for field in parse(fields.unwrap_or(self.standard)) {
            let name = field.name;
            match all.get(name) {
                Some(value) => drop(chosen.insert(name.to_owned(), expanded(value, field.within))),
                None if is_in(self.documented, name) => {}
                None => {
                    let details =
                        format!("Tried accessing nonexisting field ({name}) on node type ({})", self.name);
                    return Err(Refusal::new(100, details));
                }
            }
        }
        Ok(Value::Object(chosen))
    }
}

fn is_in(list: &str, name: &str) -> bool {
    list.split(',').any(|listed| listed == name)
}

/// Field expansion: of an object, of each in a list, of each in an edge's `data`, what stands within the braces.
fn expanded(value: &Value, within: Option<&str>) -> Value {
    let Some(within) = within else { return value.clone() };
    match value {
        Value::Array(list) => list.iter().map(|value| expanded(value, Some(within))).collect(),
        Value::Object(object) if object.get("data").is_some_and(Value::is_array) => {
            let mut edge = object.clone();
            edge["data"] = expanded(&object["data"], Some(within));
            Value::Object(edge)
        }
        Value::Object(object) => {
            let pick =
                |field: Field| Some((field.name.to_owned(), expanded(object.get(field.name)?, field.within)));
            Value::Object(parse(within).into_iter().filter_map(pick).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_may_say_what_they_want_of_a_field() {
        let names = |text| parse(text).iter().map(|field| field.name).collect::<Vec<_>>();
        assert_eq!(
            names("id, throughput{level,x},qr_image_url.format(SVG)"),
            ["id", "throughput", "qr_image_url"]
        );
        let all = json!({ "id": "1", "throughput": { "level": "STANDARD", "other": 1 },
                          "health_status": { "can_send_message": "AVAILABLE",
                                             "entities": [{ "id": "2", "entity_type": "WABA" }] } });
        let all = all.as_object().expect("an object");
        let shown = NUMBER.select(all, Some("throughput{level},health_status{entities{id}},certificate"));
        assert_eq!(
            shown,
            Ok(
                json!({ "id": "1", "throughput": { "level": "STANDARD" }, "health_status": { "entities": [{ "id": "2" }] } })
            )
        );
        assert_eq!(NUMBER.select(all, Some("colour")).map_err(|refusal| refusal.code), Err(100));
        assert!(ACCOUNT.has("id,name") && !NUMBER.has("id,name"));
    }
}
