/* hatsize-derp: a relay of its own. */

#include "relay/relay.h"

int main(int argc, char **argv)
{
    return relay_main(argc, argv);
}
