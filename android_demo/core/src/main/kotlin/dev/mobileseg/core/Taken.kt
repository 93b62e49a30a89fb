package dev.mobileseg.core

import java.nio.ByteBuffer
import java.nio.ByteOrder

/** Operations inside and outside of a delegate; `partitions`: the delegate's nodes in the graph. */
data class Taken(
    val delegated: Int,
    val left: Int,
    val partitions: Int,
)

private val REPLACED =
    Regex("""Replacing (\d+) out of (\d+) node\(s\) with delegate \((\w+)\) node, yielding (\d+) partitions""")

/**
 * What a delegate took, from the length of the execution plan and what the runtime wrote to its log.
 *
 * TensorFlow Lite's Java API tells the length only. One node left means that all were taken. Otherwise the log's line
 * says how many were; nothing is guessed.
 *
 * @param operations of the graph as in the file
 * @param planned nodes that are run in their stead
 * @param log lines of this process, oldest first; the last one counts
 * @return null if it cannot be told
 */
fun takenFrom(
    operations: Int,
    planned: Int,
    log: List<String>,
): Taken? {
    val line = log.mapNotNull(REPLACED::find).lastOrNull { it.groupValues[2].toInt() == operations }
    if (line != null) {
        val delegated = line.groupValues[1].toInt()
        val left = operations - delegated
        return Taken(delegated, left, planned - left).takeIf { it.partitions > 0 }
    }
    return if (planned == 1 && operations > 1) Taken(operations, 0, 1) else null
}

/**
 * The operations of a TFLite file's first graph: `Model.subgraphs[0].operators` of its schema, version 3.
 *
 * @throws DemoError if it is no TFLite file
 */
fun countOperations(model: ByteBuffer): Int =
    try {
        val file = Flat(model.duplicate().order(ByteOrder.LITTLE_ENDIAN))
        val graphs = file.field(file.indirect(0), SUBGRAPHS)
        val graph = file.indirect(file.indirect(graphs) + Int.SIZE_BYTES)
        file.length(file.field(graph, OPERATORS))
    } catch (error: IndexOutOfBoundsException) {
        throw DemoError("This is not a TFLite model, or it is damaged. Export it again.", error)
    }

private const val SUBGRAPHS = 2
private const val OPERATORS = 3
private const val VTABLE_HEADER = 4

/** FlatBuffers as far as needed: tables with vtables before them, and vectors. */
private class Flat(
    private val bytes: ByteBuffer,
) {
    fun indirect(at: Int) = at + bytes.getInt(at)

    fun length(at: Int) = bytes.getInt(indirect(at))

    fun field(
        table: Int,
        number: Int,
    ): Int {
        val vtable = table - bytes.getInt(table)
        val slot = VTABLE_HEADER + 2 * number
        if (slot >= bytes.getShort(vtable)) throw IndexOutOfBoundsException("no field $number")
        return table + bytes.getShort(vtable + slot)
    }
}
