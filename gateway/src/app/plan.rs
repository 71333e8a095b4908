//! A configuration of which everything that may fail has been tried, before anything of the one before ends.

use std::sync::Arc;

use anyhow::{Result, bail};

use crate::alert::intake::RuleSet;
use crate::config::Config;
use crate::http::{Certificate, Listeners};
use crate::mqtt;
use crate::task::subscriptions;

pub struct Plan {
    pub config: Arc<Config>,
    pub rules: RuleSet,
    pub certificate: Option<Arc<Certificate>>,
    pub mqtt: mqtt::Settings,
    pub listeners: Listeners,
}

impl Plan {
    pub fn new(config: Config, listeners: Listeners) -> Result<Self> {
        let tls = config.http.tls.clone().map(|(chain, key)| Certificate::read(chain, key)).transpose()?;
        Ok(Self {
            rules: config.rule_set()?,
            certificate: tls.map(Arc::new),
            mqtt: mqtt::Settings::from_config(&config.mqtt, subscriptions::all(&config))?,
            config: Arc::new(config),
            listeners,
        })
    }

    /// To take the place of `running`.
    pub async fn after(running: &Config, listeners: &Listeners, config: Config) -> Result<Self> {
        let (before, after) = (&running.site.state_directory, &config.site.state_directory);
        if before != after {
            bail!(
                "state_directory is {} while it runs, and cannot become {}: stop bellwire, move the folder, start it again",
                before.display(),
                after.display()
            );
        }
        let listeners = listeners.reopen(&running.http, &config.http).await?;
        Self::new(config, listeners)
    }
}
