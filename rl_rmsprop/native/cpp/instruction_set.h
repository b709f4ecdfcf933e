// All there is for one instruction set, in the namespace VECTOR_NAMESPACE; included once for each by kernel.cpp.

#include "vector.h"
#include "functions.h"
#include "network.h"
#include "losses.h"
#include "agents.h"
#include "rmsprop.h"
#include "laws.h"
#include "acting.h"
