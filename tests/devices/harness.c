/* The C client as a program that a test drives: one command a line on standard input, one line of answer each, and a real
 * connection to a broker beside it. What the commands are is told in tests/it/clients/harness.rs.
 *
 *     harness NAME PORT|serial:PORT STORE|- MEMORY UNIQUE-ID */
#define _POSIX_C_SOURCE 200809L
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "bellwire.h"

#define LINE_MAX_BYTES 16384

static bw_client client;
static uint8_t memory[1 << 20];
static int store = -1;
static unsigned long hellos, connects, obeyed;
static unsigned lose[256];

static uint64_t now_ms(void) {
  struct timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return (uint64_t)at.tv_sec * 1000u + (uint64_t)at.tv_nsec / 1000000u;
}

/* --- hexadecimal words: `x`, then two digits a byte --- */

static size_t bytes_of(const char *word, uint8_t *out, size_t room) {
  size_t length = 0;
  unsigned byte;
  if (*word == 'x') word++;
  while (length < room && sscanf(word, "%2x", &byte) == 1) {
    out[length++] = (uint8_t)byte;
    word += 2;
  }
  return length;
}

static const char *text_of(const char *word) {
  static char texts[40][512];
  static unsigned turn;
  char *text = texts[turn++ % 40];
  text[bytes_of(word, (uint8_t *)text, 511)] = 0;
  return text;
}

static void print_hex(const void *bytes, size_t length) {
  size_t i;
  putchar('x');
  for (i = 0; i < length; i++) printf("%02x", ((const uint8_t *)bytes)[i]);
}

static uint32_t number_of(const char *word) { return (uint32_t)strtoul(word, NULL, 10); }

/* --- as much of MQTT 3.1.1 as a device needs --- */

static struct {
  int line;
  bool is_wanted, is_connected, is_serial;
  uint64_t again_at;
  uint16_t packet, port;
  char name[64]; /* in topics instead of the device's; empty: none */
  uint8_t in[65536];
  size_t have;
} mqtt;

static void disconnect(void) {
  if (mqtt.line >= 0) close(mqtt.line);
  mqtt.line = -1;
  mqtt.is_connected = false;
  mqtt.have = 0;
  mqtt.again_at = now_ms() + 100;
}

static void send_packet(uint8_t kind, const uint8_t *body, size_t length) {
  uint8_t packet[2048];
  size_t at = 0, rest = length;
  packet[at++] = kind;
  do {
    packet[at++] = (uint8_t)(rest % 128 | (rest > 127 ? 128u : 0u));
    rest /= 128;
  } while (rest > 0);
  memcpy(packet + at, body, length);
  if (mqtt.line >= 0 && send(mqtt.line, packet, at + length, MSG_NOSIGNAL) != (ssize_t)(at + length)) disconnect();
}

static size_t put_mqtt_text(uint8_t *to, const char *text) {
  size_t length = strlen(text);
  to[0] = (uint8_t)(length >> 8);
  to[1] = (uint8_t)length;
  memcpy(to + 2, text, length);
  return length + 2;
}

static size_t put_packet_id(uint8_t *to) {
  if (++mqtt.packet == 0) mqtt.packet = 1;
  to[0] = (uint8_t)(mqtt.packet >> 8);
  to[1] = (uint8_t)mqtt.packet;
  return 2;
}

/* The same level under the other name, if the test wants one. */
static void rename_topic(char topic[128]) {
  char level[16];
  if (mqtt.name[0] == 0) return;
  snprintf(level, sizeof level, "%s", strrchr(topic, '/') + 1);
  snprintf(topic, 128, "bellwire/device/%s/%s", mqtt.name, level);
}

static void topic_of(uint8_t kind, char topic[128]) {
  bw_mqtt_topic(&client, kind, topic);
  rename_topic(topic);
}

static void connect_line(void) {
  static const uint8_t start[] = {0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60};
  struct sockaddr_in to;
  uint8_t body[128];
  char id[64];
  int yes = 1;
  memset(&to, 0, sizeof to);
  to.sin_family = AF_INET;
  to.sin_port = htons(mqtt.port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  mqtt.line = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(mqtt.line, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (connect(mqtt.line, (struct sockaddr *)&to, sizeof to) != 0) {
    disconnect();
    return;
  }
  if (mqtt.is_serial) {
    mqtt.is_connected = true;
    connects++;
    bw_connected(&client);
    return;
  }
  snprintf(id, sizeof id, "%.30s-%ld", client.config.device, (long)getpid());
  memcpy(body, start, sizeof start);
  send_packet(0x10, body, sizeof start + put_mqtt_text(body + sizeof start, id));
}

static void subscribe_all(void) {
  uint8_t i;
  char topic[128];
  for (i = 0; bw_mqtt_filter(&client, i, topic); i++) {
    uint8_t body[160];
    size_t length = put_packet_id(body);
    rename_topic(topic);
    length += put_mqtt_text(body + length, topic);
    body[length++] = 1;
    send_packet(0x82, body, length);
  }
}

static struct {
  uint8_t bytes[2048];
  size_t length;
} frame;

static void put_in_frame(void *context, uint8_t byte) {
  (void)context;
  frame.bytes[frame.length++] = byte;
}

static void publish(const bw_message *message) {
  uint8_t body[2048];
  char topic[128];
  size_t length;
  uint8_t qos = bw_mqtt_qos(message->kind);
  if (mqtt.is_serial) {
    frame.length = 0;
    bw_serial_frame(message->kind, message->bytes, message->length, put_in_frame, NULL);
    if (send(mqtt.line, frame.bytes, frame.length, MSG_NOSIGNAL) != (ssize_t)frame.length) disconnect();
    return;
  }
  topic_of(message->kind, topic);
  length = put_mqtt_text(body, topic);
  if (qos > 0) length += put_packet_id(body + length);
  memcpy(body + length, message->bytes, message->length);
  send_packet((uint8_t)(0x30 | qos << 1), body, length + message->length);
}

/* A PUBLISH to us. The client knows its own topics alone. */
static void published(uint8_t first, const uint8_t *body, size_t length) {
  size_t topic = (size_t)body[0] << 8 | body[1], at = topic + 2;
  const char *level = (const char *)body + at - 3;
  char own[BW_TOPIC_MAX];
  uint8_t kind;
  if ((first & 6) == 2) {
    send_packet(0x40, body + at, 2);
    at += 2;
  }
  /* The last three letters of a level tell them apart. */
  kind = memcmp(level, "ome", 3) == 0 ? BW_WELCOME : memcmp(level, "ack", 3) == 0 ? BW_ACK : BW_COMMAND;
  if (lose[kind] > 0) {
    lose[kind]--;
    return;
  }
  if (mqtt.name[0] == 0) {
    bw_mqtt_arrived(&client, (const char *)body + 2, topic, body + at, length - at, now_ms());
  } else {
    bw_mqtt_topic(&client, kind, own);
    bw_mqtt_arrived(&client, own, strlen(own), body + at, length - at, now_ms());
  }
}

static void hear(void) {
  ssize_t got = recv(mqtt.line, mqtt.in + mqtt.have, sizeof mqtt.in - mqtt.have, MSG_DONTWAIT);
  if (got == 0 || (got < 0 && errno != EAGAIN)) {
    disconnect();
    return;
  }
  if (got > 0) mqtt.have += (size_t)got;
  if (mqtt.is_serial) {
    static bw_decoder decoder;
    size_t i;
    for (i = 0; i < mqtt.have; i++) bw_serial_arrived(&client, &decoder, mqtt.in[i], now_ms());
    mqtt.have = 0;
    return;
  }
  for (;;) {
    size_t at = 1, length = 0, shift = 0;
    while (at < mqtt.have && mqtt.in[at] > 127) {
      length |= (size_t)(mqtt.in[at++] & 127u) << shift;
      shift += 7;
    }
    if (at >= mqtt.have) return;
    length |= (size_t)mqtt.in[at++] << shift;
    if (at + length > mqtt.have) return;
    if (mqtt.in[0] == 0x20) {
      mqtt.is_connected = true;
      connects++;
      subscribe_all();
      bw_connected(&client);
    } else if (mqtt.in[0] >> 4 == 3) {
      published(mqtt.in[0], mqtt.in + at, length);
    }
    if (mqtt.line < 0) return;
    mqtt.have -= at + length;
    memmove(mqtt.in, mqtt.in + at + length, mqtt.have);
  }
}

/* --- commands --- */

static bool save(void *context, size_t offset, const uint8_t *bytes, size_t length) {
  (void)context; /* no fsync: the test kills this process, not the machine */
  return pwrite(store, bytes, length, (off_t)offset) == (ssize_t)length;
}

static const char *word(void) { return strtok(NULL, " "); }

/* `NAME:TYPE:VALUE` each, names and texts as hexadecimal words. */
static size_t read_fields(bw_field *fields, size_t most) {
  size_t count = 0;
  const char *given;
  while (count < most && (given = word()) != NULL) {
    bw_field *field = &fields[count++];
    const char *value = strchr(given, ':') + 3;
    field->name = text_of(given);
    switch (value[-2]) {
      case 'b': field->type = BW_BOOL; field->value.boolean = *value == '1'; break;
      case 'i': field->type = BW_INTEGER; field->value.integer = strtoll(value, NULL, 10); break;
      case 'f': field->type = BW_FLOAT; field->value.number = strtof(value, NULL); break;
      default: field->type = BW_TEXT; field->value.text = text_of(value); break;
    }
  }
  return count;
}

static const char *status_word(bw_status status) {
  return status == BW_OK ? "ok" : status == BW_FULL ? "full" : status == BW_STORAGE ? "storage" : "refused";
}

static void emit(uint32_t events, uint32_t first) {
  uint32_t i, accepted = 0;
  for (i = 0; i < events; i++) {
    bw_field fields[2];
    fields[0].name = "celsius";
    fields[0].type = BW_FLOAT;
    fields[0].value.number = -18.0f;
    fields[1].name = "n";
    fields[1].type = BW_INTEGER;
    fields[1].value.integer = first + i;
    if (bw_event(&client, fields, 2, now_ms()) == BW_OK) accepted++;
  }
  printf("%lu %lu", (unsigned long)accepted, (unsigned long)(events - accepted));
}

static void decode(uint8_t kind, const uint8_t *bytes, size_t length) {
  bw_welcome said;
  bw_position at;
  bw_command command;
  if (kind == BW_WELCOME && bw_decode_welcome(bytes, length, &said)) {
    printf("%lu %lu %lu %lu %llu", (unsigned long)said.token, (unsigned long)said.boot, (unsigned long)said.counted.boot,
           (unsigned long)said.counted.sequence, (unsigned long long)said.unix_ms);
  } else if (kind == BW_ACK && bw_decode_ack(bytes, length, &at)) {
    printf("%lu %lu", (unsigned long)at.boot, (unsigned long)at.sequence);
  } else if (kind == BW_COMMAND && bw_decode_command(bytes, length, &command)) {
    printf("%lu %llu %llu ", (unsigned long)command.boot, (unsigned long long)command.id,
           (unsigned long long)command.expires_at_ms);
    print_hex(command.name, strlen(command.name));
    putchar(' ');
    print_hex(command.payload, command.payload_length);
  } else {
    fputs("refused", stdout);
  }
}

static void print_message(const uint8_t *bytes, size_t length) {
  if (length > 0)
    print_hex(bytes, length);
  else
    fputs("refused", stdout);
}

static void encode(const char *what) {
  uint8_t out[2048];
  const char *device = text_of(word());
  if (strcmp(what, "encode-hello") == 0) {
    static const char *commands[16];
    bw_config config;
    bw_position oldest;
    uint32_t boot = number_of(word()), token = number_of(word()), queued, refused;
    const char *name;
    memset(&config, 0, sizeof config);
    oldest.boot = number_of(word());
    oldest.sequence = number_of(word());
    queued = number_of(word());
    refused = number_of(word());
    config.device = device;
    config.firmware = text_of(word());
    config.commands = commands;
    while ((name = word()) != NULL) commands[config.command_count++] = text_of(name);
    print_message(out, bw_encode_hello(out, sizeof out, &config, boot, token, oldest, queued, refused));
  } else if (strcmp(what, "encode-event") == 0) {
    bw_field fields[16];
    bw_position at;
    size_t count;
    at.boot = number_of(word());
    at.sequence = number_of(word());
    count = read_fields(fields, 16);
    print_message(out, bw_encode_event(out, sizeof out, device, at, fields, count));
  } else {
    uint32_t boot = number_of(word());
    uint64_t id = strtoull(word(), NULL, 10);
    bw_outcome outcome = (bw_outcome)number_of(word());
    print_message(out, bw_encode_result(out, sizeof out, device, boot, id, outcome, text_of(word())));
  }
}

static void put_hex(void *context, uint8_t byte) {
  (void)context;
  printf("%02x", byte);
}

static void unframe(const uint8_t *bytes, size_t length) {
  static bw_decoder decoder;
  bw_message found;
  bool damaged, is_found = false;
  size_t i;
  for (i = 0; i < length; i++) {
    if (!bw_decode_frame(&decoder, bytes[i], &found, &damaged)) continue;
    printf("%02x ", found.kind);
    print_hex(found.bytes, found.length);
    is_found = true;
  }
  if (!is_found) fputs("nothing", stdout);
}

static void obey(char *line) {
  static uint8_t bytes[LINE_MAX_BYTES];
  const char *what = strtok(line, " ");
  if (strcmp(what, "emit") == 0) {
    uint32_t events = number_of(word());
    emit(events, number_of(word()));
  } else if (strcmp(what, "fields") == 0) {
    bw_field fields[16];
    size_t count = read_fields(fields, 16);
    fputs(status_word(bw_event(&client, fields, count, now_ms())), stdout);
  } else if (strcmp(what, "lose") == 0) {
    unsigned kind = (unsigned)strtoul(word(), NULL, 16) & 0xffu;
    lose[kind] = number_of(word());
    fputs("ok", stdout);
  } else if (strcmp(what, "line") == 0) {
    mqtt.is_wanted = number_of(word()) == 1;
    if (!mqtt.is_wanted) disconnect();
    fputs("ok", stdout);
  } else if (strcmp(what, "topic") == 0) {
    const char *name = word();
    snprintf(mqtt.name, sizeof mqtt.name, "%s", name == NULL ? "" : name);
    disconnect();
    fputs("ok", stdout);
  } else if (strcmp(what, "status") == 0) {
    const bw_counters *all = &client.counters;
    printf("boot=%lu welcomed=%d queued=%lu refused=%lu hellos=%lu connects=%lu obeyed=%lu damaged=%lu renumbered=%lu",
           (unsigned long)bw_boot(&client), bw_is_welcomed(&client), (unsigned long)bw_queued(&client),
           (unsigned long)(all->refused_full + all->refused_too_large + all->refused_malformed + all->storage_failed), hellos,
           connects, obeyed, (unsigned long)all->damaged, (unsigned long)all->renumbered);
  } else if (strcmp(what, "decode") == 0) {
    uint8_t kind = (uint8_t)strtoul(word(), NULL, 16);
    decode(kind, bytes, bytes_of(word(), bytes, sizeof bytes));
  } else if (strcmp(what, "frame") == 0) {
    uint8_t kind = (uint8_t)strtoul(word(), NULL, 16);
    putchar('x');
    bw_serial_frame(kind, bytes, bytes_of(word(), bytes, sizeof bytes), put_hex, NULL);
  } else if (strcmp(what, "unframe") == 0) {
    unframe(bytes, bytes_of(word(), bytes, sizeof bytes));
  } else {
    encode(what);
  }
  putchar('\n');
  fflush(stdout);
}

/* --- the loop --- */

static void hear_commands(void) {
  static char line[LINE_MAX_BYTES];
  static size_t have;
  char *end;
  ssize_t got = read(0, line + have, sizeof line - have - 1);
  if (got <= 0) exit(0);
  have += (size_t)got;
  line[have] = 0;
  while ((end = strchr(line, '\n')) != NULL) {
    *end = 0;
    obey(line);
    have -= (size_t)(end + 1 - line);
    memmove(line, end + 1, have + 1);
  }
}

static void turn(void) {
  bw_message message;
  const bw_command *command = bw_command_to_obey(&client, now_ms());
  if (command != NULL) {
    bool is_known = strcmp(command->name, "defrost") == 0;
    obeyed++;
    bw_answer(&client, command->id, is_known ? BW_DONE : BW_REFUSED, is_known ? "cooling" : "no such command");
  }
  while (mqtt.is_connected && bw_poll(&client, now_ms(), &message)) {
    if (message.kind == BW_HELLO) hellos++;
    if (lose[message.kind] > 0)
      lose[message.kind]--;
    else
      publish(&message);
  }
}

int main(int count, char **arguments) {
  static const char *const commands[] = {"defrost"};
  static uint8_t unique_id[16];
  bw_config config;
  struct timespec at;
  if (count != 6) return 2;
  memset(&config, 0, sizeof config);
  clock_gettime(CLOCK_REALTIME, &at);
  config.device = arguments[1];
  config.firmware = "c 1";
  config.commands = commands;
  config.command_count = 1;
  config.seed = (uint32_t)at.tv_nsec ^ (uint32_t)getpid() << 16;
  config.memory = memory;
  config.memory_length = strtoul(arguments[4], NULL, 10) + BW_HEADER_BYTES;
  if (strcmp(arguments[5], "-") != 0) {
    config.unique_id = unique_id;
    config.unique_id_length = bytes_of(arguments[5], unique_id, sizeof unique_id);
  }
  if (strcmp(arguments[3], "-") != 0) {
    store = open(arguments[3], O_RDWR | O_CREAT, 0600);
    if (store < 0 || read(store, memory, config.memory_length) < 0) return 3;
    config.save = save;
  }
  if (bw_start(&client, &config) != BW_OK) return 4;
  mqtt.is_serial = strncmp(arguments[2], "serial:", 7) == 0;
  mqtt.port = (uint16_t)number_of(arguments[2] + (mqtt.is_serial ? 7 : 0));
  mqtt.line = -1;
  mqtt.is_wanted = true;
  for (;;) {
    struct pollfd wait[2] = {{0, POLLIN, 0}, {-1, POLLIN, 0}};
    if (mqtt.line < 0 && mqtt.is_wanted && now_ms() >= mqtt.again_at) connect_line();
    wait[1].fd = mqtt.line;
    poll(wait, 2, 10);
    if (wait[0].revents != 0) hear_commands();
    if (mqtt.line >= 0) hear();
    turn();
  }
}
