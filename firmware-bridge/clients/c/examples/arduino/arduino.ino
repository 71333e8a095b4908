// A freezer on an ESP32 with Arduino: measures, loses no event, obeys `defrost`.
//
// NOT BUILT IN THIS PROJECT'S TESTS, which have no Arduino: they build and run ../../bellwire.c, which does the work. This
// file joins it to Wi-Fi, a file and an MQTT library. Put bellwire.h and bellwire.c beside it, and install
// "MQTT" by Joël Gähwiler (256dpi/arduino-mqtt), which knows QoS 1 and binary payloads. Serial or another board: see the end.
#include <LittleFS.h>
#include <MQTT.h>
#include <WiFi.h>

#include "bellwire.h"

static const char *WIFI = "cold-room", *PASSWORD = "…", *BROKER = "192.168.1.10";
static const char *const COMMANDS[] = {"defrost"};
static const char *QUEUE = "/bellwire";

static WiFiClient line;
static MQTTClient mqtt(512);
static bw_client bellwire;
static uint8_t memory[BW_HEADER_BYTES + 4096];  // about 90 events of two fields
static bool is_connected, defrosts;

static uint64_t now_ms() { return esp_timer_get_time() / 1000; }

static bool save(void *, size_t offset, const uint8_t *bytes, size_t length) {
  File file = LittleFS.open(QUEUE, "r+");
  bool done = file && file.seek(offset) && file.write(bytes, length) == length;
  file.close();  // LittleFS has it on flash now, or not at all
  return done;
}

static void arrived(MQTTClient *, char topic[], char bytes[], int length) {
  bw_mqtt_arrived(&bellwire, topic, strlen(topic), (const uint8_t *)bytes, length, now_ms());
}

static void measure() {
  bw_field fields[2] = {};
  fields[0].name = "celsius";
  fields[0].type = BW_FLOAT;
  fields[0].value.number = -18.5f;  // read the sensor here
  fields[1].name = "defrosts";
  fields[1].type = BW_BOOL;
  fields[1].value.boolean = defrosts;
  if (bw_event(&bellwire, fields, 2, now_ms()) != BW_OK) Serial.println("no room: the gateway hears how many");
}

static void connect() {
  char topic[BW_TOPIC_MAX];
  if (WiFi.status() != WL_CONNECTED || !mqtt.connect("freezer-2")) return;  // a client id that nobody else has
  line.setNoDelay(true);
  for (uint8_t i = 0; bw_mqtt_filter(&bellwire, i, topic); i++)
    if (!mqtt.subscribe(topic, 1)) return;
  is_connected = true;
  bw_connected(&bellwire);
}

void setup() {
  Serial.begin(115200);
  LittleFS.begin(true);
  if (!LittleFS.exists(QUEUE)) LittleFS.open(QUEUE, "w").close();
  File file = LittleFS.open(QUEUE, "r");
  size_t kept = file.read(memory, sizeof memory);
  file.close();
  if (kept < sizeof memory) {  // the first start: the file gets its full length
    file = LittleFS.open(QUEUE, "w");
    file.write(memory, sizeof memory);
    file.close();
  }
  WiFi.begin(WIFI, PASSWORD);
  uint8_t mac[6];
  WiFi.macAddress(mac);
  bw_config config = {};
  config.device = "freezer-2";
  config.firmware = "freezer 1.4";
  config.commands = COMMANDS;
  config.command_count = 1;
  config.seed = esp_random();
  config.unique_id = mac;
  config.unique_id_length = sizeof mac;
  config.memory = memory;
  config.memory_length = sizeof memory;
  config.save = save;
  if (bw_start(&bellwire, &config) != BW_OK) Serial.println("bw_start: a name, the memory or the file is at fault");
  mqtt.begin(BROKER, line);
  mqtt.onMessageAdvanced(arrived);
}

void loop() {
  static uint64_t measured_at, tried_at;
  bw_message message;
  char topic[BW_TOPIC_MAX];
  is_connected = is_connected && mqtt.connected();
  if (!is_connected && now_ms() >= tried_at + 2000) {
    tried_at = now_ms();
    connect();
  }
  mqtt.loop();
  if (now_ms() >= measured_at + 10000) {
    measured_at = now_ms();
    measure();
  }
  if (const bw_command *command = bw_command_to_obey(&bellwire, now_ms())) {
    defrosts = strcmp((const char *)command->payload, "{\"defrost\": true}") == 0;  // the relay clicks here
    bw_answer(&bellwire, command->id, BW_DONE, defrosts ? "defrosting" : "cooling");
  }
  while (is_connected && bw_poll(&bellwire, now_ms(), &message)) {
    bw_mqtt_topic(&bellwire, message.kind, topic);
    mqtt.publish(topic, (const char *)message.bytes, message.length, false, bw_mqtt_qos(message.kind));
  }
}

// Over a serial line instead of Wi-Fi, on any board; call bw_connected once in setup():
//
//   static bw_decoder decoder;
//   static void put(void *, uint8_t byte) { Serial1.write(byte); }
//
//   while (Serial1.available()) bw_serial_arrived(&bellwire, &decoder, Serial1.read(), now_ms());
//   while (bw_poll(&bellwire, now_ms(), &message)) bw_serial_frame(message.kind, message.bytes, message.length, put, nullptr);
//
// Where millis() is all there is, it wraps after 49 days:
//
//   static uint64_t now_ms() {
//     static uint32_t last, wraps;
//     uint32_t now = millis();
//     wraps += now < last;
//     last = now;
//     return (uint64_t)wraps << 32 | now;
//   }
