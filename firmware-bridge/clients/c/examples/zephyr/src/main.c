/* A freezer on Zephyr: measures, loses no event, obeys `defrost`. Queue in an EEPROM or FRAM (alias `eeprom-0`).
 *
 * NOT BUILT IN THIS PROJECT'S TESTS, which have no Zephyr: they build and run ../../../bellwire.c, which does the work. This
 * file joins it to Zephyr's MQTT client, written against Zephyr 3.7. The network comes up by prj.conf (Ethernet with DHCP); for
 * Wi-Fi call net_mgmt(NET_REQUEST_WIFI_CONNECT, …) before. */
#include <errno.h>
#include <string.h>
#include <zephyr/drivers/eeprom.h>
#include <zephyr/drivers/hwinfo.h>
#include <zephyr/kernel.h>
#include <zephyr/net/mqtt.h>
#include <zephyr/net/socket.h>
#include <zephyr/random/random.h>

#include "bellwire.h"

#define BROKER "192.168.1.10"

static const struct device *const eeprom = DEVICE_DT_GET(DT_ALIAS(eeprom_0));
static const char *const commands[] = {"defrost"};
static uint8_t memory[BW_HEADER_BYTES + 1800]; /* of an EEPROM of 2 KiB: about 40 events of two fields */
static bw_client bellwire;
static struct mqtt_client mqtt;
static struct sockaddr_storage broker;
static uint8_t rx[256], tx[768]; /* eight subscriptions of 60 bytes, or an event and its topic */
static bool is_connected, defrosts;

static uint64_t now_ms(void) { return (uint64_t)k_uptime_get(); }

static bool save(void *context, size_t offset, const uint8_t *bytes, size_t length) {
  ARG_UNUSED(context);
  return eeprom_write(eeprom, (off_t)offset, bytes, length) == 0;
}

static void subscribe(void) {
  static char names[8][BW_TOPIC_MAX];
  static struct mqtt_topic topics[8];
  struct mqtt_subscription_list list = {.list = topics, .message_id = 1};
  for (uint8_t i = 0; i < 8 && bw_mqtt_filter(&bellwire, i, names[i]); i++) {
    topics[i].topic.utf8 = (const uint8_t *)names[i];
    topics[i].topic.size = strlen(names[i]);
    topics[i].qos = MQTT_QOS_1_AT_LEAST_ONCE;
    list.list_count++;
  }
  is_connected = mqtt_subscribe(&mqtt, &list) == 0;
  if (is_connected) bw_connected(&bellwire);
}

static void on_event(struct mqtt_client *client, const struct mqtt_evt *event) {
  static uint8_t payload[BW_TO_DEVICE_MAX];
  const struct mqtt_publish_param *publish = &event->param.publish;
  switch (event->type) {
    case MQTT_EVT_CONNACK:
      if (event->result == 0) subscribe();
      break;
    case MQTT_EVT_DISCONNECT:
      is_connected = false;
      break;
    case MQTT_EVT_PUBLISH: {
      const struct mqtt_utf8 *topic = &publish->message.topic.topic;
      struct mqtt_puback_param ack = {.message_id = publish->message_id};
      size_t length = publish->message.payload.len;
      if (length > sizeof payload || mqtt_readall_publish_payload(client, payload, length) != 0) {
        mqtt_abort(client); /* nothing to a device is so long */
        break;
      }
      if (publish->message.topic.qos == MQTT_QOS_1_AT_LEAST_ONCE) mqtt_publish_qos1_ack(client, &ack);
      bw_mqtt_arrived(&bellwire, (const char *)topic->utf8, topic->size, payload, length, now_ms());
      break;
    }
    default:
      break;
  }
}

static void connect_broker(void) {
  static const char id[] = "freezer-2"; /* a client id that nobody else has */
  struct sockaddr_in *address = (struct sockaddr_in *)&broker;
  address->sin_family = AF_INET;
  address->sin_port = htons(1883);
  zsock_inet_pton(AF_INET, BROKER, &address->sin_addr);
  mqtt_client_init(&mqtt);
  mqtt.broker = &broker;
  mqtt.evt_cb = on_event;
  mqtt.client_id.utf8 = (const uint8_t *)id;
  mqtt.client_id.size = sizeof id - 1;
  mqtt.protocol_version = MQTT_VERSION_3_1_1;
  mqtt.clean_session = 1;
  mqtt.rx_buf = rx;
  mqtt.rx_buf_size = sizeof rx;
  mqtt.tx_buf = tx;
  mqtt.tx_buf_size = sizeof tx;
  mqtt.transport.type = MQTT_TRANSPORT_NON_SECURE;
  if (mqtt_connect(&mqtt) == 0) {
    int yes = 1;
    zsock_setsockopt(mqtt.transport.tcp.sock, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }
}

static void publish_all(void) {
  bw_message said;
  char topic[BW_TOPIC_MAX];
  while (is_connected && bw_poll(&bellwire, now_ms(), &said)) {
    static uint16_t id;
    struct mqtt_publish_param publish = {0};
    bw_mqtt_topic(&bellwire, said.kind, topic);
    publish.message.topic.topic.utf8 = (const uint8_t *)topic;
    publish.message.topic.topic.size = strlen(topic);
    publish.message.topic.qos = bw_mqtt_qos(said.kind);
    publish.message.payload.data = (uint8_t *)said.bytes;
    publish.message.payload.len = said.length;
    publish.message_id = ++id == 0 ? ++id : id;
    if (mqtt_publish(&mqtt, &publish) != 0) mqtt_abort(&mqtt); /* it is sent again after the next connect */
  }
}

int main(void) {
  uint8_t unique_id[16];
  ssize_t length = hwinfo_get_device_id(unique_id, sizeof unique_id);
  bw_config config = {.device = "freezer-2", .firmware = "freezer 1.4", .commands = commands, .command_count = 1,
                      .seed = sys_rand32_get(), .memory = memory, .memory_length = sizeof memory, .save = save};
  int64_t measured_at = 0, tried_at = -5000;
  if (length > 0) {
    config.unique_id = unique_id;
    config.unique_id_length = (size_t)length;
  }
  if (eeprom_read(eeprom, 0, memory, sizeof memory) != 0 || bw_start(&bellwire, &config) != BW_OK) {
    printk("bellwire: a name, the memory or the EEPROM is at fault\n");
    return -EIO;
  }
  for (;;) {
    const bw_command *command = bw_command_to_obey(&bellwire, now_ms());
    if (!is_connected && k_uptime_get() >= tried_at + 5000) {
      tried_at = k_uptime_get();
      mqtt_abort(&mqtt);
      connect_broker();
    }
    struct zsock_pollfd wait = {.fd = mqtt.transport.tcp.sock, .events = ZSOCK_POLLIN};
    if (zsock_poll(&wait, 1, 50) > 0 && mqtt_input(&mqtt) != 0) mqtt_abort(&mqtt);
    if (is_connected) mqtt_live(&mqtt);
    if (k_uptime_get() >= measured_at + 10000) {
      bw_field celsius = {.name = "celsius", .type = BW_FLOAT, .value.number = -18.5f}; /* read the sensor here */
      measured_at = k_uptime_get();
      if (bw_event(&bellwire, &celsius, 1, now_ms()) != BW_OK) printk("no room: the gateway hears how many\n");
    }
    if (command != NULL) {
      defrosts = strcmp((const char *)command->payload, "{\"defrost\": true}") == 0; /* the relay clicks here */
      bw_answer(&bellwire, command->id, BW_DONE, defrosts ? "defrosting" : "cooling");
    }
    publish_all();
  }
}
