/* hatsize: the server (`hatsize serve`) and the administrator's command line (everything else). */

#include "cli/cli.h"
#include "daemon/serve.h"

int main(int argc, char **argv)
{
    return cli_main(argc, argv, serve);
}
