//! An access list for the broker.

use super::{Failure, Place, say};
use crate::app::{Device, access_list};
use crate::config::{LoadOptions, load};
use crate::ids::StoreTag;
use crate::store::{OpenError, Store};

#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    place: Place,
    /// A device with a user of its own: its name, and a topic on which it publishes or is commanded; may be given several times
    #[arg(long, value_name = "USER=TOPIC")]
    device: Vec<String>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let place = &arguments.place;
    let (mut config, mut client, mut kept) = (place.load(true)?, None, Vec::new());
    match Store::open_existing(&config.site.state_directory) {
        Ok(store) => {
            let client_tag = store.client_tag().map_err(|error| Failure::Io(error.into()))?;
            config = load(&place.config, &LoadOptions { client_tag, ..place.wishes(true) })?;
            client = Some(config.mqtt.client_id.clone());
            kept = store.left_at_broker().map_err(|error| Failure::Io(error.into()))?;
        }
        // Before the first start the name is only known where the file has it.
        Err(OpenError::Missing(_)) => {
            let tagged = LoadOptions { client_tag: Some(StoreTag::new("0")), ..place.wishes(true) };
            let tagged = load(&place.config, &tagged)?;
            client = client.or(Some(tagged.mqtt.client_id).filter(|id| *id == config.mqtt.client_id));
        }
        Err(error) => return Err(error.into()),
    }
    let device = |text: &String| {
        let (user, topic) =
            text.split_once('=').filter(|(user, topic)| !user.is_empty() && !topic.is_empty())?;
        Some(Device { user: user.to_owned(), topic: topic.to_owned() })
    };
    let devices: Option<Vec<Device>> = arguments.device.iter().map(device).collect();
    let how = "write a device as USER=TOPIC, such as --device freezer-2=site/bar/freezer/2/temperature";
    let devices = devices.ok_or_else(|| Failure::Usage(how.into()))?;
    let list = access_list(&config, client.as_deref(), &kept, &devices).map_err(Failure::Usage)?;
    say(list.trim_end());
    Ok(())
}
