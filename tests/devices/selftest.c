/* What no broker can show of the C client: power that goes at each write, storage that fails, an hour with a twin, and noise.
 * Time is a number here. It prints what it measured, and ends with 1 at the first thing that is wrong. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bellwire.h"

#define ROOM (BW_HEADER_BYTES + 600) /* about 22 events */
#define CHECK(what) \
  do { \
    if (!(what)) { \
      printf("line %d: %s\n", __LINE__, #what); \
      exit(1); \
    } \
  } while (0)

static uint8_t storage[ROOM], memory[ROOM];
static long writes, until_cut = -1, fails; /* writes until the power goes; writes that fail by chance, of 16 */
static bool is_off;
static uint32_t dice = 1;
static uint64_t now = 1000;
static const char *name = "f"; /* one letter, since the gateway skips it */

static uint32_t roll(void) {
  dice ^= dice << 13;
  dice ^= dice >> 17;
  dice ^= dice << 5;
  return dice;
}

/* At a power cut, or a fault, some of the bytes are written, and one of them may be anything. */
static bool save(void *context, size_t offset, const uint8_t *bytes, size_t length) {
  size_t written = length;
  (void)context;
  if (is_off) return false;
  writes++;
  is_off = until_cut >= 0 && writes > until_cut;
  if (is_off || (long)(roll() % 16) < fails) written = roll() % (length + 1);
  memcpy(storage + offset, bytes, written);
  if (written < length) storage[offset + written] = (uint8_t)roll();
  return written == length && !is_off;
}

static bw_status start(bw_client *client) {
  static const char *const commands[] = {"defrost"};
  bw_config config;
  memset(&config, 0, sizeof config);
  config.device = name;
  config.firmware = "c";
  config.commands = commands;
  config.command_count = 1;
  config.seed = roll();
  config.memory = memory;
  config.memory_length = ROOM;
  config.save = save;
  is_off = false;
  memcpy(memory, storage, ROOM);
  return bw_start(client, &config);
}

/* --- a gateway that counts --- */

static uint32_t highest;
static bw_position counted;
static int64_t numbers[4096];
static size_t heard;

static uint32_t varint(const uint8_t **at) {
  uint32_t number = 0;
  unsigned shift = 0;
  do {
    number |= (uint32_t)(**at & 0x7f) << shift;
    shift += 7;
  } while (*(*at)++ > 0x7f);
  return number;
}

static size_t put_varint(uint8_t *to, uint32_t number) {
  size_t length = 0;
  for (; number > 0x7f; number >>= 7) to[length++] = (uint8_t)(number | 0x80);
  to[length++] = (uint8_t)number;
  return length;
}

static void answer(bw_client *client, const bw_message *said) {
  const uint8_t *at = said->bytes + 3; /* version, the name `f` */
  const uint32_t boot = varint(&at), second = varint(&at); /* a hello's token, an event's sequence */
  bw_position before = {0, 0};
  uint8_t out[32] = {1};
  size_t length = 1;
  if (said->kind == BW_HELLO) {
    before.boot = varint(&at);
    before.sequence = varint(&at);
    if (boot > highest) highest = boot;
    if (before.sequence > 0 && (before.boot > counted.boot || (before.boot == counted.boot && before.sequence > counted.sequence)))
      CHECK(before.sequence == 1 || (before.boot == counted.boot && before.sequence == counted.sequence + 1));
    length += put_varint(out + length, second);
    length += put_varint(out + length, highest);
  } else {
    bool follows = (boot == counted.boot && second == counted.sequence + 1) || (boot > counted.boot && second == 1);
    if (follows) {
      CHECK(at[0] == 1 && at[1] == 1 && at[2] == 'n' && at[3] == 1); /* one field `n`, an integer */
      at += 4;
      CHECK(heard < sizeof numbers / sizeof *numbers);
      numbers[heard++] = (int64_t)(varint(&at) >> 1);
      counted.boot = boot;
      counted.sequence = second;
    }
  }
  length += put_varint(out + length, counted.boot);
  length += put_varint(out + length, counted.sequence);
  if (said->kind == BW_HELLO) out[length++] = 0; /* it does not know the time */
  bw_receive(client, said->kind == BW_HELLO ? BW_WELCOME : BW_ACK, out, length, now);
}

static bool emit(bw_client *client, int64_t n) {
  bw_field field;
  field.name = "n";
  field.type = BW_INTEGER;
  field.value.integer = n;
  return bw_event(client, &field, 1, now) == BW_OK;
}

/* Sends what there is; every third answer is lost. */
static void exchange(bw_client *client) {
  bw_message said;
  unsigned turn;
  for (turn = 0; turn < 40 && !is_off; turn++) {
    while (!is_off && bw_poll(client, now, &said))
      if (roll() % 3 != 0) answer(client, &said);
    now += 500;
  }
}

/* Each number that was accepted was counted once, in order. One that was refused because the power went may be there. */
static void compare(const int64_t *accepted, size_t count, const bool *unsure) {
  size_t at = 0, i;
  for (i = 0; i < count; i++) {
    bool is_here = at < heard && numbers[at] == accepted[i];
    CHECK(is_here || unsure[i]);
    if (is_here) at++;
  }
  CHECK(at == heard);
}

static void forget_all(void) {
  memset(storage, 0xff, sizeof storage);
  memset(&counted, 0, sizeof counted);
  highest = 0;
  heard = 0;
  writes = 0;
}

static void power_goes_at_each_write(void) {
  long cut, cuts = 0;
  for (cut = 0; cut < 260; cut++) {
    int64_t accepted[400], n = 1;
    bool unsure[400];
    size_t count = 0;
    unsigned life;
    bw_client client;
    forget_all();
    for (life = 0; life < 6; life++) {
      unsigned i;
      until_cut = life < 5 ? cut / 5 + (long)(roll() % 9) : -1;
      writes = 0;
      if (start(&client) != BW_OK) {
        CHECK(is_off);
        cuts++;
        continue;
      }
      if (life > 0) bw_connected(&client);
      for (i = 0; i < 24 && !is_off; i++, n++) {
        bool is_accepted = emit(&client, n);
        if (is_accepted || is_off) { /* else there was no room */
          accepted[count] = n;
          unsure[count++] = !is_accepted;
        }
        if (i % 6 == 5) exchange(&client);
      }
      cuts += is_off;
    }
    for (life = 0; life < 20 && bw_queued(&client) > 0; life++) exchange(&client);
    CHECK(bw_queued(&client) == 0 && bw_is_welcomed(&client));
    compare(accepted, count, unsure);
  }
  CHECK(cuts > 700);
  printf("%ld power cuts: each accepted event was counted once, in order\n", cuts);
}

static void storage_fails_now_and_then(void) {
  unsigned round, starts = 0;
  unsigned long events = 0;
  until_cut = -1;
  for (round = 0; round < 200; round++) {
    int64_t accepted[400], n;
    bool unsure[400];
    size_t count = 0;
    bw_client client;
    forget_all();
    while (start(&client) != BW_OK) continue;
    exchange(&client);
    fails = 1 + round % 8;
    for (n = 1; n <= 200; n++) {
      bool is_accepted = emit(&client, n);
      accepted[count] = n;
      unsure[count++] = !is_accepted;
      if (n % 30 == 0) exchange(&client);
      if (roll() % 8 == 0) { /* the power goes between two writes */
        while (start(&client) != BW_OK) continue;
        starts++;
      }
    }
    fails = 0;
    for (n = 0; n < 20 && bw_queued(&client) > 0; n++) exchange(&client);
    CHECK(bw_queued(&client) == 0);
    compare(accepted, count, unsure);
    events += heard;
  }
  printf("storage that fails: %lu events accepted and counted over %u starts\n", events, starts);
}

/* A gateway that tells of a higher number each time, as it does when it cannot tell two of one name apart. */
static void an_hour_with_a_twin(void) {
  bw_client client;
  bw_message said;
  const uint64_t begun = now;
  long hellos = 0, before;
  forget_all();
  CHECK(start(&client) == BW_OK);
  before = writes;
  for (; now < begun + 3600000; now += 50)
    while (bw_poll(&client, now, &said)) {
      hellos++;
      highest += 3;
      answer(&client, &said);
      CHECK(hellos <= 60 && writes - before <= 60);
    }
  printf("an hour with a twin: %ld hellos, %ld writes\n", hellos, writes - before);
}

/* An access list at the broker may forbid the name before; what was kept must not wait for ever. */
static void nobody_answers_to_the_name_before(void) {
  bw_client client;
  bw_message said;
  const uint64_t begun = now;
  unsigned before = 0, after = 0;
  forget_all();
  CHECK(start(&client) == BW_OK && emit(&client, 1));
  name = "g";
  CHECK(start(&client) == BW_OK);
  for (; now < begun + 3600000; now += 500)
    while (bw_poll(&client, now, &said)) {
      CHECK(said.kind == BW_HELLO && (said.bytes[2] == 'g' || after == 0));
      if (said.bytes[2] == 'f')
        before++;
      else
        after++;
    }
  CHECK(before == 20 && after > 0 && strcmp(bw_name(&client), "g") == 0);
  exchange(&client);
  CHECK(start(&client) == BW_OK);
  exchange(&client);
  CHECK(heard == 1 && bw_queued(&client) == 0);
  printf("a name that nobody answers to: given up after %u hellos\n", before);
  name = "f";
}

static void noise(void) {
  static const uint8_t kinds[] = {BW_WELCOME, BW_ACK, BW_COMMAND, BW_VERSION_ONLY, BW_HELLO, 0};
  bw_client client;
  bw_decoder decoder;
  bw_message said;
  long i;
  memset(&decoder, 0, sizeof decoder);
  forget_all();
  CHECK(start(&client) == BW_OK);
  for (i = 0; i < 400000; i++) {
    uint8_t bytes[300];
    size_t length = roll() % (i % 8 == 0 ? 300 : 12), at;
    for (at = 0; at < length; at++) bytes[at] = (uint8_t)(roll() % (i % 3 == 0 ? 256 : 4));
    if (length > 0 && i % 5 != 0) bytes[0] = 1;
    bw_receive(&client, kinds[roll() % sizeof kinds], bytes, length, now);
    bw_serial_arrived(&client, &decoder, (uint8_t)roll(), now);
    if (bw_command_to_obey(&client, now) != NULL) bw_answer(&client, roll(), BW_DONE, "what?");
    if (i % 100 == 0) (void)emit(&client, i);
    if (i % 50 == 0 && bw_poll(&client, now, &said)) CHECK(said.length > 0 && said.length <= BW_BUFFER_BYTES);
    now += 20;
  }
  CHECK(client.counters.damaged > 1000);
  printf("noise: %lu messages and frames refused\n", (unsigned long)client.counters.damaged);
}

int main(void) {
  power_goes_at_each_write();
  storage_fails_now_and_then();
  an_hour_with_a_twin();
  nobody_answers_to_the_name_before();
  noise();
  return 0;
}
