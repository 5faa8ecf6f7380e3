/*
 * Reads lines on stdin: "new" (a new decoder) or a packet in hex ("-" for an empty one); writes for each packet its code
 * and, when that is 0, sequence, time, denominators and steps.
 */
#include <stdio.h>
#include <stdlib.h>

#include "facewire_motion.h"

static fw_decoder decoder;
static fw_motion motion;

int main(void) {
  static char line[70000];
  fw_init(&decoder);
  while (fgets(line, sizeof line, stdin) != NULL) {
    size_t length = 0, i;
    uint8_t *packet;
    int code, count;
    if (strncmp(line, "new", 3) == 0) {
      fw_init(&decoder);
      continue;
    }
    while (strchr("0123456789abcdef", line[2 * length]) != NULL && line[2 * length] != '\0') length++;
    /* exactly as long as the packet, so that a sanitiser sees every byte read beyond it */
    packet = malloc(length > 0 ? length : 1);
    if (packet == NULL) return 1;
    for (i = 0; i < length; i++) {
      char digits[3] = {line[2 * i], line[2 * i + 1], '\0'};
      packet[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    code = fw_decode(&decoder, packet, length, &motion);
    free(packet);
    printf("%d", code);
    if (code == FW_OK) {
      printf(" %d %d %d %d %d", motion.sequence, motion.time_ms, (int)motion.denominators[0],
             (int)motion.denominators[1], (int)motion.denominators[2]);
      count = FW_FACE + 3 * motion.keypoint_count;
      for (i = 0; i < (size_t)count; i++) printf(" %d", (int)motion.steps[i]);
    }
    printf("\n");
  }
  return 0;
}
