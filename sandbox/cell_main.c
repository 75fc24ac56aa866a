/* SPDX-License-Identifier: Apache-2.0 */
/* caisson-cell: started by the runner only, once per plugin that is called. */
#include "cell.h"

int main(void)
{
    return cell_main();
}
