package dev.mobileseg.core

private const val KEPT = 60
private const val SECOND = 1000f

/** The stages of a frame, in order, and what each covers. */
enum class Stage(
    val covers: String,
) {
    CAMERA("waiting for the next frame and taking it"),
    PRE("writing the input tensor"),
    INFERENCE("running the model, reading its output included"),
    POST("from logits to class ids and colours"),
    DRAW("handing the mask to the screen"),
    ;

    val label = name.lowercase()
}

fun median(values: List<Float>): Float {
    require(values.isNotEmpty()) { "no median of nothing" }
    val sorted = values.sorted()
    val middle = sorted.size / 2
    return if (sorted.size % 2 == 1) sorted[middle] else (sorted[middle - 1] + sorted[middle]) / 2
}

/** Medians in milliseconds; frames per second from the median of whole frames. */
data class TimingSummary(
    val count: Int,
    val stages: Map<Stage, Float>,
    val total: Float,
) {
    val fps get() = SECOND / total
}

/** Milliseconds per stage of the last frames. */
class Timing {
    private val frames = ArrayDeque<Map<Stage, Float>>()

    fun clear() = frames.clear()

    /** A stage that a frame does not have, as a picture has no camera, counts nothing. */
    fun add(frame: Map<Stage, Float>) {
        frames.addLast(frame)
        if (frames.size > KEPT) frames.removeFirst()
    }

    /** Null before the first frame. */
    fun summary(): TimingSummary? {
        if (frames.isEmpty()) return null
        return TimingSummary(
            count = frames.size,
            stages = Stage.entries.associateWith { stage -> median(frames.map { it[stage] ?: 0f }) },
            total = median(frames.map { it.values.sum() }),
        )
    }
}
