plugins {
    alias(libs.plugins.android.application)
    alias(libs.plugins.kotlin.android)
}

android {
    namespace = "dev.mobileseg.demo"
    compileSdk = 35

    defaultConfig {
        applicationId = "dev.mobileseg.demo"
        minSdk = 24
        targetSdk = 35
        versionCode = 1
        versionName = "1.0"
    }

    compileOptions {
        sourceCompatibility = JavaVersion.VERSION_11
        targetCompatibility = JavaVersion.VERSION_11
    }

    // Models are mapped from the package, which takes them stored as they are.
    androidResources {
        noCompress += "tflite"
    }

    testOptions {
        unitTests {
            isIncludeAndroidResources = true
            all { test ->
                listOf("golden", "picture", "resize", "intent", "results", "screenshot").forEach { name ->
                    providers.gradleProperty(name).orNull?.let { test.systemProperty(name, it) }
                }
            }
        }
    }
}

kotlin {
    compilerOptions {
        jvmTarget.set(org.jetbrains.kotlin.gradle.dsl.JvmTarget.JVM_11)
        allWarningsAsErrors.set(true)
    }
}

dependencies {
    implementation(project(":core"))
    implementation(libs.tflite)
    implementation(libs.tflite.api)
    implementation(libs.tflite.gpu)
    implementation(libs.tflite.gpu.api)
    testImplementation(testFixtures(project(":core")))
    testImplementation(libs.tflite.desktop)
    testImplementation(libs.junit)
    testImplementation(libs.robolectric)
}
